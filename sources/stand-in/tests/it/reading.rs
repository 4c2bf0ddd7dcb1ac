//! The official driver reads from the stand-in as it reads from a server.

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use bson::{Bson, DateTime, Document, doc};
use futures::TryStreamExt;
use mongodb::options::{FindOptions, Hint, SelectionCriteria};
use quickchat_mongodb_stand_in::{Batch, Script, StandIn};

use crate::{PEOPLE, by_id, connect, find, ids, until};

/// One key of each type that a collection of ours may have, in MongoDB's order.
fn mixed_ids() -> Vec<Bson> {
    vec![
        Bson::MinKey,
        Bson::Null,
        Bson::Int32(-7),
        Bson::Decimal128("1.5".parse().unwrap()),
        Bson::Double(2.5),
        Bson::Int64(9_007_199_254_740_993),
        "Zoe".into(),
        "anna".into(),
        Bson::Document(doc! { "tenant": 1 }),
        Bson::ObjectId(ObjectId::from_bytes([3; 12])),
        false.into(),
        Bson::DateTime(DateTime::from_millis(-5)),
        Bson::Timestamp(bson::Timestamp { time: 4, increment: 1 }),
        Bson::MaxKey,
    ]
}

fn mixed() -> Script {
    // Inserted in an order that is neither that of the keys nor its reverse.
    let mut ids = mixed_ids();
    ids.reverse();
    ids.rotate_left(5);
    Script::new().documents(PEOPLE, ids.into_iter().map(|id| doc! { "_id": id }))
}

#[tokio::test]
async fn a_sorted_find_returns_keys_of_all_types_in_order_across_batches() {
    let stand_in = StandIn::start(mixed()).unwrap();
    let client = connect(&stand_in).await;
    let options = FindOptions::builder().sort(doc! { "_id": 1 }).batch_size(3).build();
    let found = find(&client, doc! {}, options).await.unwrap();
    assert_eq!(ids(&found), mixed_ids());
    assert_eq!(stand_in.requests_named("getMore").len(), 4, "14 documents are five batches of three");
    assert_eq!(stand_in.open_cursors(), 0);

    let descending = FindOptions::builder().sort(doc! { "_id": -1 }).build();
    let mut expected = mixed_ids();
    expected.reverse();
    assert_eq!(ids(&find(&client, doc! {}, descending).await.unwrap()), expected);
    assert_ne!(ids(&find(&client, doc! {}, FindOptions::default()).await.unwrap()), mixed_ids(), "insertion order");
}

#[tokio::test]
async fn ranges_are_bracketed_by_type() {
    let stand_in = StandIn::start(mixed()).unwrap();
    let client = connect(&stand_in).await;
    let all = mixed_ids();
    let expectations = [
        (doc! { "_id": { "$gte": Bson::Decimal128("1.5".parse().unwrap()) } }, vec![3, 4, 5]),
        (doc! { "_id": { "$lt": 9_007_199_254_740_993_i64 } }, vec![2, 3, 4]),
        (doc! { "_id": { "$gt": "Zoe" } }, vec![7]),
        (doc! { "_id": { "$lt": ObjectId::from_bytes([9; 12]) } }, vec![9]),
        (doc! { "_id": { "$gte": Bson::Null } }, vec![1]),
        (doc! { "_id": { "$gt": Bson::MinKey } }, (1..14).collect()),
        (doc! { "_id": { "$lt": Bson::MaxKey, "$gte": Bson::MinKey } }, (0..13).collect()),
        (doc! { "_id": { "$type": ["number", "minKey"] } }, vec![0, 2, 3, 4, 5]),
        (doc! { "_id": { "$not": { "$type": ["number", "string", "objectId", -1, 127] } } }, vec![1, 8, 10, 11, 12]),
        (doc! { "$and": [{ "_id": { "$gte": "" } }, { "_id": { "$ne": "anna" } }] }, vec![6]),
    ];
    for (filter, expected) in expectations {
        let found = ids(&find(&client, filter.clone(), by_id()).await.unwrap());
        let expected: Vec<Bson> = expected.into_iter().map(|at: usize| all[at].clone()).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test]
async fn bounds_of_the_index_know_no_brackets() {
    let stand_in = StandIn::start(mixed()).unwrap();
    let client = connect(&stand_in).await;
    let mut options = FindOptions::builder().min(doc! { "_id": 2.5 }).max(doc! { "_id": false }).build();
    let unhinted = find(&client, doc! {}, options.clone()).await.unwrap_err();
    assert!(unhinted.to_string().contains("51173"), "{unhinted}");
    options.hint = Some(Hint::Keys(doc! { "_id": 1 }));
    assert_eq!(ids(&find(&client, doc! {}, options).await.unwrap()), mixed_ids()[4..10]);
}

#[tokio::test]
async fn dates_nulls_and_missing_fields_compare_as_in_mongodb() {
    let date = DateTime::from_millis;
    let documents = [
        doc! { "_id": 0, "at": date(10) },
        doc! { "_id": 1, "at": date(20) },
        doc! { "_id": 2, "at": Bson::Null },
        doc! { "_id": 3 },
        doc! { "_id": 4, "at": "1970" },
        doc! { "_id": 5, "at": [date(5), date(30)] },
    ];
    let stand_in = StandIn::start(Script::new().documents(PEOPLE, documents)).unwrap();
    let client = connect(&stand_in).await;
    let expectations = [
        (doc! { "at": { "$lt": date(20) } }, vec![0, 5]),
        (doc! { "at": { "$gte": date(20) } }, vec![1, 5]),
        (doc! { "at": Bson::Null }, vec![2, 3]),
        (doc! { "at": { "$exists": false } }, vec![3]),
        (doc! { "$or": [{ "at": Bson::Null }, { "at": { "$lt": date(20) } }] }, vec![0, 2, 3, 5]),
        (doc! { "$nor": [{ "at": Bson::Null }, { "at": { "$type": "date" } }] }, vec![4]),
        (doc! { "at": { "$not": { "$gte": date(20) } } }, vec![0, 2, 3, 4]),
        (doc! { "at": { "$in": [date(10), Bson::Null] } }, vec![0, 2, 3]),
        (doc! { "at": { "$type": "array" } }, vec![5]),
    ];
    for (filter, expected) in expectations {
        let found = ids(&find(&client, filter.clone(), by_id()).await.unwrap());
        assert_eq!(found, expected.into_iter().map(Bson::Int32).collect::<Vec<_>>(), "{filter}");
    }
    for refused in [doc! { "at.x": 1 }, doc! { "$where": "1" }, doc! { "at": { "$mod": [2, 0] } }] {
        assert!(find(&client, refused, by_id()).await.is_err());
    }
}

#[tokio::test]
async fn options_arrive_and_are_recorded() {
    let documents = (0..10).map(|id| doc! { "_id": id, "name": format!("n{id}"), "secret": "s" });
    let stand_in = StandIn::start(Script::new().documents(PEOPLE, documents)).unwrap();
    let client = connect(&stand_in).await;
    let options = FindOptions::builder()
        .projection(doc! { "name": 1 })
        .sort(doc! { "_id": -1 })
        .skip(1)
        .limit(3)
        .batch_size(2)
        .build();
    let found = find(&client, doc! { "_id": { "$lt": 9 } }, options).await.unwrap();
    let expected = [7, 6, 5].map(|id| doc! { "_id": id, "name": format!("n{id}") });
    assert_eq!(found, expected);

    let [request] = stand_in.requests_named("find").try_into().unwrap();
    assert_eq!(request.namespace, PEOPLE);
    assert_eq!(request.body.get_document("filter").unwrap(), &doc! { "_id": { "$lt": 9 } });
    assert_eq!(request.body.get_document("projection").unwrap(), &doc! { "name": 1 });
    assert_eq!(request.body.get_str("$db").unwrap(), "chat");
    let [more] = stand_in.requests_named("getMore").try_into().unwrap();
    assert!(more.order > request.order);
    assert_eq!((more.namespace.as_str(), more.body.get_i32("batchSize").unwrap()), (PEOPLE, 2));
}

#[tokio::test]
async fn a_full_last_batch_is_followed_by_an_empty_one() {
    let stand_in = StandIn::start(Script::new().documents(PEOPLE, (0..4).map(|id| doc! { "_id": id }))).unwrap();
    let client = connect(&stand_in).await;
    let options = FindOptions::builder().batch_size(2).build();
    assert_eq!(find(&client, doc! {}, options).await.unwrap().len(), 4);
    assert_eq!(stand_in.requests_named("getMore").len(), 2, "the server learns of the end only when asked");
}

#[tokio::test]
async fn a_dropped_cursor_is_killed() {
    let stand_in = StandIn::start(Script::new().documents(PEOPLE, (0..9).map(|id| doc! { "_id": id }))).unwrap();
    let client = connect(&stand_in).await;
    let people = client.database("chat").collection::<Document>("people");
    let cursor = people.find(doc! {}).batch_size(2).await.unwrap();
    assert_eq!(stand_in.open_cursors(), 1);
    drop(cursor);
    until("the end of the cursor", || stand_in.open_cursors() == 0).await;
    assert_eq!(stand_in.requests_named("killCursors").len(), 1);
}

#[tokio::test]
async fn malformed_documents_are_found_by_their_key_and_sent_as_they_are() {
    let mut invalid_text = bson::rawdoc! { "_id": 1, "name": "abc" }.into_bytes();
    let name = invalid_text.len() - 3;
    invalid_text[name] = 0xff;
    let lying = vec![9, 0, 0, 0, 0x02, b'a', 0, 0xee, 0];
    let script = Script::new()
        .raw_document(PEOPLE, Some(2.into()), lying.clone())
        .raw_document(PEOPLE, None, invalid_text.clone())
        .documents(PEOPLE, [doc! { "_id": 0 }]);
    let stand_in = StandIn::start(script).unwrap();
    let client = connect(&stand_in).await;
    let people = client.database("chat").collection::<RawDocumentBuf>("people");
    let found: Vec<RawDocumentBuf> = people
        .find(doc! { "_id": { "$gte": 1 } })
        .sort(doc! { "_id": 1 })
        .projection(doc! { "name": 1 })
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(found.iter().map(|raw| raw.as_bytes()).collect::<Vec<_>>(), [&invalid_text[..], &lying[..]]);
}

#[tokio::test]
async fn encoded_batches_are_replayed() {
    let batch = |from: i32| Batch::encode((from..from + 100).map(|id| bson::rawdoc! { "_id": id }.into_bytes()));
    let script = Script::new().replay(PEOPLE, [batch(0), batch(100)], 5).without_recording();
    let stand_in = StandIn::start(script).unwrap();
    let client = connect(&stand_in).await;
    for _ in 0..2 {
        let found = find(&client, doc! { "_id": { "$gt": 7 } }, by_id()).await.unwrap();
        assert_eq!(found.len(), 500);
        assert_eq!(found[499].get_i32("_id").unwrap(), 99, "the first batch is the fifth again");
    }
    let greatest = FindOptions::builder().sort(doc! { "_id": -1 }).projection(doc! { "_id": 1 }).limit(1).build();
    assert_eq!(find(&client, doc! {}, greatest).await.unwrap(), [doc! { "_id": 99 }], "of the first batch");
    assert_eq!(stand_in.open_cursors(), 0);
    assert!(stand_in.requests().is_empty());
}

#[tokio::test]
async fn a_cursor_can_be_opened_without_a_batch() {
    let stand_in = StandIn::start(Script::new().documents(PEOPLE, (0..3).map(|id| doc! { "_id": id }))).unwrap();
    let client = connect(&stand_in).await;
    let command = doc! { "find": "people", "batchSize": 0 };
    let primary = SelectionCriteria::ReadPreference(mongodb::options::ReadPreference::Primary);
    let cursor = client.database("chat").run_cursor_command(command).selection_criteria(primary).await.unwrap();
    assert_eq!(cursor.try_collect::<Vec<_>>().await.unwrap().len(), 3);
    assert_eq!(stand_in.requests_named("getMore").len(), 1);
}
