//! Which top-level fields of a document are sent.
//!
//! Without a projection the bytes stay as they are. With one, fields are copied as they lie, so that their contents may
//! be invalid; a document whose own fields cannot be followed to the end is sent whole.

use bytes::Bytes;

use crate::element::{Element, Elements};
use crate::refusal::Refusal;

#[derive(Debug)]
pub(crate) enum Projection {
    Everything,
    Only { fields: Vec<Vec<u8>>, keeps_id: bool },
    AllBut(Vec<Vec<u8>>),
}

impl Projection {
    pub(crate) fn parse(projection: &[u8]) -> Result<Self, Refusal> {
        let (mut included, mut excluded, mut keeps_id) = (Vec::new(), Vec::new(), true);
        for element in Elements::new(projection) {
            check(&element)?;
            match (element.name, element.value.is_truthy()) {
                (b"_id", keeps) => keeps_id = keeps,
                (name, true) => included.push(name.to_vec()),
                (name, false) => excluded.push(name.to_vec()),
            }
        }
        let names_id = projection_names_id(projection);
        match (included.is_empty(), excluded.is_empty()) {
            (false, false) => {
                Err(Refusal::new(31254, "Location31254", "Cannot do exclusion on field in inclusion projection"))
            }
            (false, true) => Ok(Self::Only { fields: included, keeps_id }),
            (true, true) if names_id && keeps_id => Ok(Self::Only { fields: included, keeps_id }),
            (true, true) if !names_id => Ok(Self::Everything),
            (true, _) => {
                excluded.extend((!keeps_id).then(|| b"_id".to_vec()));
                Ok(Self::AllBut(excluded))
            }
        }
    }

    pub(crate) fn apply(&self, document: &Bytes) -> Bytes {
        if matches!(self, Self::Everything) {
            return document.clone();
        }
        let mut elements = Elements::new(document);
        let mut projected = vec![0; 4];
        for element in elements.by_ref().filter(|element| self.keeps(element)) {
            projected.extend(element.bytes);
        }
        if !elements.ended_well() {
            return document.clone();
        }
        projected.push(0);
        let length = (projected.len() as i32).to_le_bytes();
        projected[..4].copy_from_slice(&length);
        projected.into()
    }

    fn keeps(&self, element: &Element<'_>) -> bool {
        let is_in = |fields: &[Vec<u8>]| fields.iter().any(|field| field == element.name);
        match self {
            Self::Everything => true,
            Self::Only { keeps_id, .. } if element.name == b"_id" => *keeps_id,
            Self::Only { fields, .. } => is_in(fields),
            Self::AllBut(fields) => !is_in(fields),
        }
    }
}

fn projection_names_id(projection: &[u8]) -> bool {
    Elements::new(projection).any(|element| element.name == b"_id")
}

fn check(element: &Element<'_>) -> Result<(), Refusal> {
    let is_flag = element.value.as_i64().is_some() || element.value.kind == crate::element::kind::BOOL;
    if is_flag && !element.name.contains(&b'.') {
        return Ok(());
    }
    Err(Refusal::bad_value("the stand-in projects top-level fields, by 0 or 1"))
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc, rawdoc};

    use super::*;

    fn project(projection: Document) -> Document {
        let document = Bytes::from(rawdoc! { "_id": 1, "a": "x", "b": 2 }.into_bytes());
        let projected = Projection::parse(&projection.to_vec().unwrap()).unwrap().apply(&document);
        Document::from_reader(projected.as_ref()).unwrap()
    }

    #[test]
    fn fields_are_kept_or_left_out() {
        assert_eq!(project(doc! {}), doc! { "_id": 1, "a": "x", "b": 2 });
        assert_eq!(project(doc! { "b": 1 }), doc! { "_id": 1, "b": 2 });
        assert_eq!(project(doc! { "b": true, "_id": 0 }), doc! { "b": 2 });
        assert_eq!(project(doc! { "_id": 1 }), doc! { "_id": 1 });
        assert_eq!(project(doc! { "_id": 0 }), doc! { "a": "x", "b": 2 });
        assert_eq!(project(doc! { "a": 0 }), doc! { "_id": 1, "b": 2 });
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for projection in [doc! { "a.b": 1 }, doc! { "a": { "$slice": 1 } }, doc! { "a": 1, "b": 0 }] {
            assert!(Projection::parse(&projection.to_vec().unwrap()).is_err(), "{projection}");
        }
    }
}
