//! Reading with every way of cutting a file.

use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, UInt8Type};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::decode::sha256_hex;
use crate::export::ExportFile;
use crate::schema::{ORDINAL_COLUMN, OUTPUT_COLUMN, READ_COLUMN, REJECT_COLUMN};
use crate::split::Split;

/// What came out of a file, in order of the ordinals.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Outcome {
    documents: Vec<String>,
    /// Position, reason, raw text and digest.
    rejects: Vec<(String, String, String, String)>,
    read: i64,
}

struct Fixture {
    store: Arc<InMemory>,
    path: String,
    bytes: Vec<u8>,
    sizes: Sizes,
}

impl Fixture {
    async fn new(path: &str, bytes: &[u8], sizes: Sizes) -> Self {
        let store = Arc::new(InMemory::new());
        let location = Path::from(format!("exports/{path}"));
        let payload = PutPayload::from(bytes.to_vec());
        store.put(&location, payload).await.unwrap();
        Self { store, path: path.to_owned(), bytes: bytes.to_vec(), sizes }
    }

    fn collection(&self) -> Collection {
        if self.path.starts_with("mongodb") { Collection::Users } else { Collection::AuthUsers }
    }

    /// Reads the file as splits that begin at these positions.
    async fn read(&self, cuts: &[u64]) -> Result<Outcome, SourceError> {
        let size = self.bytes.len() as u64;
        let (format, gzip) = FileFormat::of_name(&self.path).unwrap();
        let file = ExportFile {
            path: self.path.clone(),
            format,
            gzip,
            size,
            // Unique, so that remembered line counts of other tests do not leak in.
            e_tag: None,
        };
        let mut bounds = vec![0];
        bounds.extend_from_slice(cuts);
        bounds.push(size);
        let mut outcome = Outcome::default();
        let mut last_ordinal = -1;
        for pair in bounds.windows(2) {
            let store = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
            let digest = sha256_hex(&self.bytes);
            let mut site = Site::new(store, &digest, Path::from("exports"), self.collection(), None);
            site.sizes = self.sizes;
            let split = Split { file: file.clone(), rank: 0, start: pair[0], end: pair[1] };
            let mut reader = Reader::open(&Place::Folder(Arc::new(site)), Work::Split(split)).unwrap();
            while let Some(batch) = reader.next_batch().await? {
                outcome.take(&batch, &mut last_ordinal);
            }
        }
        let rows = outcome.documents.len() + outcome.rejects.len();
        assert_eq!(outcome.read, i64::try_from(rows).unwrap(), "tally of {:?}", self.path);
        Ok(outcome)
    }
}

impl Outcome {
    fn take(&mut self, batch: &RecordBatch, last_ordinal: &mut i64) {
        let output = batch.column_by_name(OUTPUT_COLUMN).unwrap().as_primitive::<UInt8Type>();
        let ordinal = batch.column_by_name(ORDINAL_COLUMN).unwrap().as_primitive::<Int64Type>();
        let read = batch.column_by_name(READ_COLUMN).unwrap().as_primitive::<Int64Type>();
        let rejects = batch.column_by_name(REJECT_COLUMN).unwrap().as_struct();
        let ids = batch.column(0).as_string::<i32>();
        for row in 0..batch.num_rows() {
            if output.value(row) == 2 {
                assert!(ordinal.is_null(row));
                self.read += read.value(row);
                continue;
            }
            assert!(read.is_null(row));
            assert!(ordinal.value(row) > *last_ordinal, "ordinals ascend");
            *last_ordinal = ordinal.value(row);
            if output.value(row) == 0 {
                self.documents.push(ids.value(row).to_owned());
            } else {
                let text = |name: &str| {
                    let column = rejects.column_by_name(name).unwrap();
                    column.as_string::<i32>().value(row).to_owned()
                };
                self.rejects.push((text("source_position"), text("reason"), text("raw"), text("document_sha256")));
            }
        }
    }
}

/// Sizes that make every line cross chunks.
fn tiny() -> Sizes {
    Sizes { chunk: 7, tail: 3, longest_line: 1 << 20, beginning: 1 << 10 }
}

fn user(id: &str) -> String {
    format!("{{\"_id\":\"{id}\",\"createdAt\":5}}")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_cut_gives_every_document_once() {
    let text = format!(
        "\u{feff}{}\r\n\n  \t\r\n{}\nbad\n{}\r\n\r\n[]\n\u{feff}{}\n{}",
        user("a"),
        user("b"),
        user("ccccccccccccccccccccc"),
        user("x"),
        user("é")
    );
    let fixture = Fixture::new("mongodb/users.json", text.as_bytes(), tiny()).await;
    let whole = fixture.read(&[]).await.unwrap();
    assert_eq!(whole.documents, ["a", "b", "ccccccccccccccccccccc", "é"]);
    assert_eq!(whole.read, 7);
    let positions: Vec<&str> = whole.rejects.iter().map(|reject| reject.0.as_str()).collect();
    assert_eq!(positions, ["mongodb/users.json:5", "mongodb/users.json:8", "mongodb/users.json:9"]);
    assert_eq!(whole.rejects[0].1, "invalid_json");
    assert_eq!(whole.rejects[0].3, sha256_hex(b"bad"));
    let size = text.len() as u64;
    for cut in 0..=size {
        assert_eq!(fixture.read(&[cut]).await.unwrap(), whole, "cut at {cut}");
    }
    // Every byte a split of its own.
    let all: Vec<u64> = (1..size).collect();
    assert_eq!(fixture.read(&all).await.unwrap(), whole);
}

#[tokio::test]
async fn random_files_and_cuts() {
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..150 {
        let mut text = String::new();
        let mut expected = Vec::new();
        for line in 0..random.random_range(0..12) {
            match random.random_range(0..6) {
                0 => text.push_str(["", " ", "\r"][random.random_range(0..3)]),
                1 => text.push_str("{\"bad\""),
                _ => {
                    let id = format!("{round}-{line}{}", "x".repeat(random.random_range(0..30)));
                    text.push_str(&user(&id));
                    expected.push(id);
                }
            }
            text.push_str(["\n", "\r\n"][random.random_range(0..2)]);
        }
        if random.random_range(0..2) == 0 {
            text.push_str(&user("last"));
            expected.push("last".to_owned());
        }
        let sizes = Sizes { chunk: random.random_range(1..40), tail: random.random_range(1..5), ..tiny() };
        let fixture = Fixture::new("mongodb/users.json", text.as_bytes(), sizes).await;
        let whole = fixture.read(&[]).await.unwrap();
        assert_eq!(whole.documents, expected);
        let mut cuts: Vec<u64> =
            (0..random.random_range(0..6)).map(|_| random.random_range(0..=text.len() as u64)).collect();
        cuts.sort_unstable();
        assert_eq!(fixture.read(&cuts).await.unwrap(), whole, "{text:?} cut at {cuts:?}");
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_rejected_without_being_held() {
    let long = format!("{{\"_id\":\"long\",\"bio\":\"{}\",\"password\":\"x\"}}", "y".repeat(300));
    let text = format!("{}\n{long}\r\n{}\n{long}", user("a"), user("b"));
    for chunk in [7, 64, 1 << 20] {
        let sizes = Sizes { chunk, tail: 3, longest_line: 200, beginning: 40 };
        let fixture = Fixture::new("mongodb/users.json", text.as_bytes(), sizes).await;
        let whole = fixture.read(&[]).await.unwrap();
        assert_eq!(whole.documents, ["a", "b"]);
        assert_eq!(whole.rejects.len(), 2);
        for (reject, line) in whole.rejects.iter().zip([2, 4]) {
            assert_eq!(reject.0, format!("mongodb/users.json:{line}"));
            assert_eq!(reject.1, "invalid_json");
            assert_eq!(reject.2, format!("{}…[cut]", &long[..40]));
            assert_eq!(reject.3, sha256_hex(long.as_bytes()));
        }
        for cut in 0..=text.len() as u64 {
            assert_eq!(fixture.read(&[cut]).await.unwrap(), whole, "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn gzip_files() {
    let text = format!("{}\r\nbad\n{}", user("a"), user("b"));
    let plain = Fixture::new("mongodb/users.json", text.as_bytes(), tiny()).await;
    let expected = plain.read(&[]).await.unwrap();
    let packed = gzip(text.as_bytes());
    let two_members = [gzip(&text.as_bytes()[..20]), gzip(&text.as_bytes()[20..])].concat();
    for bytes in [&packed, &two_members] {
        let fixture = Fixture::new("mongodb/users.json.gz", bytes, tiny()).await;
        let outcome = fixture.read(&[]).await.unwrap();
        assert_eq!(outcome.documents, expected.documents);
        assert_eq!(outcome.rejects[0].0, "mongodb/users.json.gz:2");
    }
    let empty = Fixture::new("mongodb/users.json.gz", &gzip(b""), tiny()).await;
    assert_eq!(empty.read(&[]).await.unwrap(), Outcome::default());
    let none = Fixture::new("mongodb/users.json.gz", b"", tiny()).await;
    assert_eq!(none.read(&[]).await.unwrap(), Outcome::default());
}

#[tokio::test]
async fn damaged_gzip_files_are_errors_that_name_the_file() {
    let packed = gzip(user("a").repeat(50).as_bytes());
    let mut flipped = packed.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 0xff;
    let trailing = [packed.as_slice(), b"garbage after the end"].concat();
    let mut damaged: Vec<Vec<u8>> = (1..packed.len()).map(|end| packed[..end].to_vec()).collect();
    damaged.extend([flipped, trailing, b"{\"_id\":\"not gzip\"}\n".to_vec()]);
    for bytes in damaged {
        let fixture = Fixture::new("mongodb/users.json.gz", &bytes, tiny()).await;
        let error = fixture.read(&[]).await.unwrap_err();
        assert!(matches!(error, SourceError::Gzip { .. }), "{} bytes: {error}", bytes.len());
        assert!(error.to_string().contains("mongodb/users.json.gz"));
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn csv_files() {
    let text = "\u{feff}id,email,email_verified,two_factor_enabled,last_login_at,login_count,created_at,password_hash\r\n\
        1,a@b.c,1,0,2024-01-01 10:00:00,5,2024-01-01 00:00:00.123456,h1\r\n\
        \r\n\
        2,\"quoted, \"\"twice\"\"\r\nand over lines\",TRUE,false,0000-00-00 00:00:00,,\\N,h2\n\
        ,no id,1,0,,,,h3\n\
        3,short\n\
        4,a,1,0,,,,h,long\n\
        5,x,yes,0,,,,h5\n\
        6,x,1,0,1969-12-31 23:59:59,,,h6\n\
        7,x,1,0,,5.5,,h7\n\
        8,last,1,0,,5.0,,h8";
    let fixture = Fixture::new("mysql/users.csv", text.as_bytes(), tiny()).await;
    let outcome = fixture.read(&[]).await.unwrap();
    assert_eq!(outcome.documents, ["1", "2", "8"]);
    let rejects: Vec<(&str, &str, &str)> = outcome
        .rejects
        .iter()
        .map(|(position, reason, raw, _)| (position.as_str(), reason.as_str(), raw.as_str()))
        .collect();
    let row = |id: &str, email: &str, verified: &str, login: &str, count: &str| {
        format!(
            "{{\"id\":{id},\"email\":\"{email}\",\"email_verified\":\"{verified}\",\"two_factor_enabled\":\"0\",\"last_login_at\":{login},\"login_count\":{count},\"created_at\":null}}"
        )
    };
    assert_eq!(
        rejects,
        [
            ("mysql/users.csv:6", "missing_key", row("null", "no id", "1", "null", "null").as_str()),
            ("mysql/users.csv:7", "wrong_type", "{\"id\":\"3\"}"),
            ("mysql/users.csv:8", "wrong_type", "{\"id\":\"4\"}"),
            ("mysql/users.csv:9", "wrong_type", row("\"5\"", "x", "yes", "null", "null").as_str()),
            ("mysql/users.csv:10", "bad_date", row("\"6\"", "x", "1", "\"1969-12-31 23:59:59\"", "null").as_str()),
            ("mysql/users.csv:11", "wrong_type", row("\"7\"", "x", "1", "null", "\"5.5\"").as_str()),
        ]
    );
    assert_eq!(outcome.rejects[0].3, sha256_hex(b",no id,1,0,,,,h3"));
    let packed = Fixture::new("mysql/users.csv.gz", &gzip(text.as_bytes()), tiny()).await;
    assert_eq!(packed.read(&[]).await.unwrap().documents, outcome.documents);
    for chunk in 1..60 {
        let sizes = Sizes { chunk, ..tiny() };
        let again = Fixture::new("mysql/users.csv", text.as_bytes(), sizes).await;
        assert_eq!(again.read(&[]).await.unwrap(), outcome, "chunks of {chunk}");
    }
}

#[tokio::test]
async fn csv_edges() {
    for (text, documents, reasons) in [
        ("", &[][..], &[][..]),
        ("\n\r\n", &[], &[]),
        ("id,email\n", &[], &[]),
        ("id,email", &[], &[]),
        ("ID, Email \n1,a\n   \n", &["1"], &[]),
        ("id,email\n1,\"open", &[], &["wrong_type"]),
        ("id,email\n1,\"open\n2,b\n3,c\n", &[], &["wrong_type"]),
        ("id,email\n1,a\"b\n2,c\n", &["1", "2"], &[]),
        ("id\n1\n\"\"\n2\n", &["1", "2"], &["missing_key"]),
        ("email,id\nx,\"1\"", &["1"], &[]),
    ] {
        let fixture = Fixture::new("mysql/users.csv", text.as_bytes(), tiny()).await;
        let outcome = fixture.read(&[]).await.unwrap();
        assert_eq!(outcome.documents, documents, "{text:?}");
        let found: Vec<&str> = outcome.rejects.iter().map(|reject| reject.1.as_str()).collect();
        assert_eq!(found, reasons, "{text:?}");
    }
    let invalid = b"id,email,token\n1,\xff,secret\n2,ok,secret\n";
    let fixture = Fixture::new("mysql/users.csv", invalid, tiny()).await;
    let outcome = fixture.read(&[]).await.unwrap();
    assert_eq!(outcome.documents, ["2"]);
    assert_eq!(outcome.rejects[0].1, "invalid_utf8");
    assert_eq!(outcome.rejects[0].2, "{\"id\":\"1\",\"email\":\"\u{fffd}\"}");
    assert_eq!(outcome.rejects[0].3, sha256_hex(b"1,\xff,secret"));
}

#[tokio::test]
async fn a_csv_record_that_is_too_long_is_rejected_without_being_held() {
    let long = format!("2,\"{}\n{}\"", "y".repeat(300), "z".repeat(300));
    let text = format!("id,email\n1,a\n\n{long}\r\n3,c\n{long}");
    let sizes = Sizes { longest_line: 200, ..tiny() };
    let fixture = Fixture::new("mysql/users.csv", text.as_bytes(), sizes).await;
    let outcome = fixture.read(&[]).await.unwrap();
    assert_eq!(outcome.documents, ["1", "3"]);
    let expected: Vec<_> = [4, 7]
        .map(|line| {
            (format!("mysql/users.csv:{line}"), "wrong_type".to_owned(), "{}".to_owned(), sha256_hex(long.as_bytes()))
        })
        .into();
    let found = outcome.rejects.clone();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_csv_without_header_is_an_error_that_shows_no_data() {
    for text in ["1,a@b.c,hunter2\n2,b@c.d,x\n", "email,created_at\na,b\n"] {
        let fixture = Fixture::new("mysql/users.csv", text.as_bytes(), tiny()).await;
        let error = fixture.read(&[]).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains("mysql/users.csv") && message.contains("column id"), "{message}");
        assert!(!message.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_file_that_changed_or_vanished_is_an_error() {
    let fixture = Fixture::new("mongodb/users.json", user("a").as_bytes(), tiny()).await;
    let shorter = PutPayload::from_static(b"{}");
    let location = Path::from("exports/mongodb/users.json");
    fixture.store.put(&location, shorter).await.unwrap();
    let error = fixture.read(&[]).await.unwrap_err();
    assert!(error.to_string().contains("mongodb/users.json"), "{error}");
    fixture.store.delete(&location).await.unwrap();
    let error = fixture.read(&[]).await.unwrap_err();
    assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn counted_lines_are_remembered() {
    let text = "a\nb\n\nc\n";
    let fixture = Fixture::new("mongodb/users.json", text.as_bytes(), tiny()).await;
    let store = Arc::clone(&fixture.store) as Arc<dyn ObjectStore>;
    let site = Site::new(store, "counted", Path::from("exports"), Collection::Users, None);
    let (format, gzip) = FileFormat::of_name("users.json").unwrap();
    let split = Split {
        file: ExportFile { path: fixture.path.clone(), format, gzip, size: text.len() as u64, e_tag: None },
        rank: 0,
        start: 0,
        end: 0,
    };
    let file = chunks::StoredFile::new(&site, &split);
    let identity = file.identity(&site);
    let count = |end| line_numbers::before(&file, &identity, end, tiny());
    assert_eq!(count(4).await.unwrap(), 2);
    assert_eq!(count(5).await.unwrap(), 3);
    fixture.store.delete(&Path::from("exports/mongodb/users.json")).await.unwrap();
    // Known stretches need no file any more.
    assert_eq!(count(5).await.unwrap(), 3);
    assert!(count(7).await.is_err());
    line_numbers::remember(&identity, 5, 7, 1);
    assert_eq!(count(7).await.unwrap(), 4);
}
