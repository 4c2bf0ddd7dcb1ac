//! Answers from memory, for the stores that keep what they have read ([`super::read_once`], [`super::small_files`]).

use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use object_store::{Attributes, GetOptions, GetResult, GetResultPayload, ObjectMeta};

/// Whether the bytes of the object as it is are asked for: no version, no condition, and not its description alone.
pub(super) fn asks_for_bytes(options: &GetOptions) -> bool {
    let GetOptions { head, version, if_match, if_none_match, if_modified_since, if_unmodified_since, .. } = options;
    let tags = [version, if_match, if_none_match].into_iter().any(Option::is_some);
    let instants = [if_modified_since, if_unmodified_since].into_iter().any(Option::is_some);
    !head && !tags && !instants
}

/// The answer to a request for `range`, which is where `bytes` are in the object.
pub(super) fn answer(meta: ObjectMeta, range: Range<u64>, bytes: Bytes) -> GetResult {
    let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
    GetResult { payload, meta, range, attributes: Attributes::default() }
}
