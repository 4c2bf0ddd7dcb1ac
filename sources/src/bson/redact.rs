//! Rejected documents as text, without their secrets.
//!
//! The text is canonical extended JSON, the form in which `mongoexport --jsonFormat=canonical` would have written the
//! document, in the order of its members. Members with secret names are left out at every depth. Written here because
//! the `bson` crate's conversion sorts the members, unless it makes `serde_json` keep their order in the whole program.

use std::fmt::Write;

use bson::raw::{RawBsonRef, RawDocument, RawElement};
use bson::spec::ElementType;

use crate::json::MAX_DEPTH;
use crate::json::secret::is_secret;

/// What stands for a value that cannot be shown.
const UNREADABLE: &str = "…[unreadable]";

/// The document as JSON without secret members. Of a document whose structure is broken only the beginning is shown.
pub(crate) fn redacted(bytes: &[u8]) -> String {
    let mut out = String::new();
    match RawDocument::from_bytes(bytes) {
        Ok(document) => write_document(&mut out, document, 1),
        Err(_) => out.push_str("{}"),
    }
    out
}

/// The document's `_id` as text, for saying where a document stands; `?` if there is none that can be read.
pub(crate) fn id_text(bytes: &[u8]) -> String {
    let id = RawDocument::from_bytes(bytes).ok().and_then(|document| document.get("_id").ok().flatten());
    let mut text = String::new();
    match id {
        Some(RawBsonRef::ObjectId(id)) => text = id.to_hex(),
        Some(RawBsonRef::String(id)) => id.clone_into(&mut text),
        Some(other) => write_value(&mut text, other, 1),
        None => text.push('?'),
    }
    text
}

fn write_document(out: &mut String, document: &RawDocument, depth: usize) {
    out.push('{');
    let mut separator = "";
    for element in document.iter_elements() {
        // Names that are not UTF-8 cannot be told to be no secrets; nor can what follows a broken length be told apart.
        let name = element.as_ref().map_or(UNREADABLE, |element| element.key().as_str());
        if is_secret(name) {
            continue;
        }
        out.push_str(separator);
        separator = ",";
        write_text(out, name);
        out.push(':');
        match element {
            Ok(element) => write_element(out, &element, depth),
            Err(_) => {
                out.push_str("null");
                break;
            }
        }
    }
    out.push('}');
}

fn write_element(out: &mut String, element: &RawElement<'_>, depth: usize) {
    match element.value() {
        Ok(value) => write_value(out, value, depth),
        Err(_) if element.element_type() == ElementType::String => {
            let lossy = element.value_utf8_lossy().ok();
            write_text(out, lossy.as_ref().and_then(|value| value.as_raw_bson_ref().as_str()).unwrap_or(UNREADABLE));
        }
        Err(_) => write_text(out, UNREADABLE),
    }
}

fn write_value(out: &mut String, value: RawBsonRef<'_>, depth: usize) {
    match value {
        RawBsonRef::Document(_) | RawBsonRef::Array(_) if depth >= MAX_DEPTH => write_text(out, UNREADABLE),
        RawBsonRef::Document(document) => write_document(out, document, depth + 1),
        RawBsonRef::Array(array) => {
            out.push('[');
            for (index, element) in array.iter_elements().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                match element {
                    Ok(element) => write_element(out, &element, depth + 1),
                    Err(_) => write_text(out, UNREADABLE),
                }
            }
            out.push(']');
        }
        RawBsonRef::Null => out.push_str("null"),
        RawBsonRef::Boolean(value) => out.push_str(if value { "true" } else { "false" }),
        RawBsonRef::String(text) => write_text(out, text),
        RawBsonRef::ObjectId(id) => wrap(out, "$oid", &id.to_hex()),
        RawBsonRef::Int32(value) => wrap(out, "$numberInt", &value.to_string()),
        RawBsonRef::Int64(value) => wrap(out, "$numberLong", &value.to_string()),
        RawBsonRef::Double(value) => wrap(out, "$numberDouble", &double_text(value)),
        RawBsonRef::Decimal128(value) => wrap(out, "$numberDecimal", &value.to_string()),
        RawBsonRef::DateTime(instant) => {
            out.push_str("{\"$date\":");
            wrap(out, "$numberLong", &instant.timestamp_millis().to_string());
            out.push('}');
        }
        RawBsonRef::Symbol(text) => wrap(out, "$symbol", text),
        RawBsonRef::JavaScriptCode(text) => wrap(out, "$code", text),
        RawBsonRef::Undefined => out.push_str("{\"$undefined\":true}"),
        RawBsonRef::MinKey => out.push_str("{\"$minKey\":1}"),
        RawBsonRef::MaxKey => out.push_str("{\"$maxKey\":1}"),
        // Writing to a text does not fail.
        RawBsonRef::Timestamp(it) => {
            let _ok = write!(out, "{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", it.time, it.increment);
        }
        // Bytes, patterns, pointers and code with variables: nothing of ours is kept in them, and they may be anything.
        _ => write_text(out, UNREADABLE),
    }
}

fn wrap(out: &mut String, name: &str, text: &str) {
    out.push_str("{\"");
    out.push_str(name);
    out.push_str("\":");
    write_text(out, text);
    out.push('}');
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn double_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        // The form with a fraction, in which a double is told from an integer.
        format!("{value:?}")
    }
}
