//! `media_key(url)`: the object that an attachment's address names, as bronze.media knows it.
//!
//! The application stores addresses of several kinds: of the media service with a signature behind a question mark,
//! of a content network, and bare keys. They have in common that the key follows `/media/`. Nothing is decoded: keys
//! are compared as they are written.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::arguments::string_argument;

/// What a key follows in an address.
const PREFIX: &str = "/media/";

/// See the module. Null for null and for an address that names no object.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MediaKey {
    signature: Signature,
}

impl MediaKey {
    pub(super) fn new() -> Self {
        Self { signature: Signature::string(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MediaKey {
    fn name(&self) -> &str {
        "media_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let urls = string_argument(&args.args[0], args.number_rows)?;
        let keys: StringArray = urls.iter().map(|url| key_of(url?)).collect();
        Ok(ColumnarValue::Array(Arc::new(keys)))
    }
}

fn key_of(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let key = match path.rfind(PREFIX) {
        Some(at) => &path[at + PREFIX.len()..],
        None => match path.strip_prefix(&PREFIX[1..]) {
            Some(key) => key,
            None if path.contains("://") => return None,
            None => path.trim_start_matches('/'),
        },
    };
    Some(key).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use arrow::array::ArrayRef;

    use super::super::testing::invoke;
    use super::*;

    #[test]
    fn keys_follow_the_last_media_folder() {
        let cases = [
            (Some("https://cdn.example.org/media/images/a.jpg"), Some("images/a.jpg")),
            (Some("https://cdn.example.org/media/a.jpg?sig=/media/x#t"), Some("a.jpg")),
            (Some("https://cdn.example.org/media/a.jpg#top?x"), Some("a.jpg")),
            (Some("s3://bucket/media/old/media/b.jpg"), Some("b.jpg")),
            (Some("media/images/a.jpg"), Some("images/a.jpg")),
            (Some("media/x/media/y"), Some("y")),
            (Some("/media/a.jpg"), Some("a.jpg")),
            (Some("images/a.jpg"), Some("images/a.jpg")),
            (Some("/images/a.jpg"), Some("images/a.jpg")),
            (Some("multimedia/a.jpg"), Some("multimedia/a.jpg")),
            (Some("a.jpg?u=https://x"), Some("a.jpg")),
            (Some("images/a%20b.jpg"), Some("images/a%20b.jpg")),
            (Some("https://elsewhere.example.org/a.jpg"), None),
            (Some("https://cdn.example.org/media/"), None),
            (Some("?x"), None),
            (Some(""), None),
            (None, None),
        ];
        let urls: ArrayRef = Arc::new(StringArray::from(cases.map(|(url, _)| url).to_vec()));
        let keys = invoke(MediaKey::new(), vec![urls]);
        assert_eq!(keys.as_ref(), &StringArray::from(cases.map(|(_, key)| key).to_vec()));
    }
}
