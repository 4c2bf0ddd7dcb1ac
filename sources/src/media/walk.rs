//! A listing in order, followed object by object.
//!
//! The slash at the end of a key is not shown. What is listed as `a` behind `a-1` can only be `a/`, the object that
//! consoles make for a folder; what is listed as `a` twice is the object `a`, and `a/`, or `a/` once more, because a
//! listing that broke off right behind it was taken up behind `a`. Such an object is a row of its own only where nothing
//! else has its key.
//!
//! Objects belong to ranges by the keys that are shown, so that `a` and `a/` are of one range. In the store's order `a/`
//! may come after the end of that range, beyond any number of keys that begin with `a-` or `a.`. Whoever lists the range
//! has to look there, and whoever lists a later one passes over it.

use super::ranges::KeyRange;

/// How far a listing in order has got.
#[derive(Debug)]
pub(super) struct Position {
    /// The last key, with its slash where that could be told.
    last: String,
    /// Lengths of the keys that were listed and whose folders' objects may still come: all are beginnings of the last.
    open: Vec<usize>,
}

/// What comes next in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A greater key.
    Key,
    /// The object of a folder.
    Folder {
        /// Whether its key was listed already, for another object or for this one.
        is_known: bool,
    },
}

impl Position {
    /// Behind a key, or at the beginning.
    pub(super) fn behind(key: Option<&str>) -> Self {
        Self { last: key.unwrap_or_default().to_owned(), open: Vec::new() }
    }

    /// Goes on to the next object; none if a listing in order could not have it here.
    pub(super) fn next(&mut self, key: &str) -> Option<Next> {
        let Self { last, open } = self;
        if key > last.as_str() {
            while let Some(listed) = open.last().and_then(|length| last.get(..*length))
                && !is_before_folder(key, listed)
            {
                open.pop();
            }
            open.push(key.len());
            key.clone_into(last);
            return Some(Next::Key);
        }
        // Only the slash that is not shown can have brought it here.
        let behind = last.strip_prefix(key).filter(|behind| *behind <= "/")?;
        let is_known = behind == "/" || open.contains(&key.len());
        open.retain(|length| *length < key.len());
        last.truncate(key.len());
        last.push('/');
        Some(Next::Folder { is_known })
    }

    /// Whether the object with this beginning of a key was listed, and that of its folder may still come.
    fn has(&self, folder: &str) -> bool {
        self.last.starts_with(folder) && self.open.contains(&folder.len())
    }
}

/// Whether a key comes before `<folder>/`, given that it comes after `folder`.
fn is_before_folder(key: &str, folder: &str) -> bool {
    key.strip_prefix(folder).is_some_and(|rest| rest < "/")
}

/// The listing of a range.
#[derive(Debug)]
pub(crate) struct Walk {
    range: KeyRange,
    /// None once it is known that there is no order.
    position: Option<Position>,
}

/// What to do with an object that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is one of the range.
    Take,
    /// It is not one of the range, or a folder's object whose key another object has.
    Pass,
    /// The range has ended. These are the keys of it to which the objects of folders may still come.
    End(Vec<String>),
    /// The listing is in no order, so nobody knows what else belongs to the range.
    Lost,
}

impl Walk {
    /// The listing of a range from its beginning.
    pub(crate) fn new(range: KeyRange) -> Self {
        let position = Position::behind(range.after.as_deref());
        Self { range, position: Some(position) }
    }

    /// The range.
    pub(crate) fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Goes on to the next object.
    pub(crate) fn step(&mut self, key: &str) -> Step {
        let Self { range, position: Some(position) } = self else { return Step::Take };
        let is_beyond = range.until.as_deref().is_some_and(|until| key > until);
        let owed = if is_beyond { owed(range, position, key) } else { Vec::new() };
        let next = match position.next(key) {
            Some(next) => next,
            // What is listed from its beginning to its end needs no order.
            None if range.is_whole() => {
                self.position = None;
                return Step::Take;
            }
            None => return Step::Lost,
        };
        if is_beyond {
            return Step::End(owed);
        }
        let is_earlier = range.after.as_deref().is_some_and(|after| key < after);
        if is_earlier || next == (Next::Folder { is_known: true }) { Step::Pass } else { Step::Take }
    }
}

/// The keys of a range that have no object yet, while that of their folders may come after `beyond`, the first key that
/// is not of the range.
fn owed(range: &KeyRange, position: &Position, beyond: &str) -> Vec<String> {
    let Some(until) = range.until.as_deref() else { return Vec::new() };
    beyond
        .match_indices(|character| character < '/')
        .filter_map(|(at, _)| beyond.get(..at))
        .filter(|folder| !folder.is_empty() && !folder.ends_with('/'))
        .filter(|folder| is_before_folder(until, folder))
        .filter(|folder| range.after.as_deref().is_none_or(|after| *folder > after))
        .filter(|folder| !position.has(folder))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use super::*;

    fn walk(after: Option<&str>, until: Option<&str>) -> Walk {
        Walk::new(KeyRange { rank: 0, after: after.map(str::to_owned), until: until.map(str::to_owned) })
    }

    /// The keys that are taken, and what the last step said.
    fn taken<'k>(walk: &mut Walk, keys: &[&'k str]) -> (Vec<&'k str>, Step) {
        let mut taken = Vec::new();
        let mut last = Step::Pass;
        for key in keys {
            last = walk.step(key);
            if last == Step::Take {
                taken.push(*key);
            }
        }
        (taken, last)
    }

    fn owes(keys: &[&str]) -> Step {
        Step::End(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn a_folders_object_is_taken_where_nothing_else_has_its_key() {
        for (listed, expected) in [
            // `a/` alone, behind nothing, behind what comes before it, and once more.
            (&["a", "a/b"][..], &["a", "a/b"][..]),
            (&["a-1", "a.2", "a", "a/b"], &["a-1", "a.2", "a", "a/b"]),
            (&["a-1", "a", "a", "a/b"], &["a-1", "a", "a/b"]),
            (&["A", "a", "a", "a/b"], &["A", "a", "a/b"]),
            // `a` and `a/`.
            (&["a", "a", "a/b"], &["a", "a/b"]),
            (&["a", "a-1", "a.2/c", "a", "a/b"], &["a", "a-1", "a.2/c", "a/b"]),
            // One in the other.
            (&["a", "a-1", "a-1.2", "a-1", "a-1/x", "a", "a/b"], &["a", "a-1", "a-1.2", "a-1/x", "a/b"]),
            (&["a", "a-1.2", "a-1", "a-1/x", "a"], &["a", "a-1.2", "a-1", "a-1/x"]),
            // `a` does not stand for the folder `a0/`.
            (&["a", "a0", "a0/", "b"], &["a", "a0", "a0/", "b"]),
        ] {
            let mut walk = walk(None, None);
            assert_eq!(taken(&mut walk, listed).0, expected, "{listed:?}");
            assert!(walk.position.is_some(), "{listed:?} is in order");
        }
    }

    #[test]
    fn a_range_ends_behind_its_last_key_and_tells_whose_folders_may_come() {
        let until = Some("a-\u{10ffff}");
        assert_eq!(taken(&mut walk(None, until), &["a-1", "a.1"]), (vec!["a-1"], owes(&["a"])));
        assert_eq!(taken(&mut walk(None, until), &["a", "a-1", "a.1"]), (vec!["a", "a-1"], owes(&[])));
        // It came before its time, or can come no more.
        assert_eq!(taken(&mut walk(None, until), &["a-1", "a", "a/b"]), (vec!["a-1", "a"], owes(&[])));
        assert_eq!(taken(&mut walk(None, until), &["a-1", "b-1"]), (vec!["a-1"], owes(&[])));
        // Folders of an earlier range, and in each other.
        let until = Some("a-1-\u{10ffff}");
        assert_eq!(taken(&mut walk(Some("a-0"), until), &["a-1-1", "a-1.x"]).1, owes(&["a-1"]));
        assert_eq!(taken(&mut walk(None, until), &["a-1-1", "a-1.x"]).1, owes(&["a", "a-1"]));
    }

    #[test]
    fn a_later_range_passes_over_folders_of_earlier_ones() {
        let mut walk = walk(Some("a-\u{10ffff}"), Some("b"));
        assert_eq!(taken(&mut walk, &["a.1", "a", "a/b", "b"]), (vec!["a.1", "a/b", "b"], Step::Take));
        assert_eq!(walk.step("c"), owes(&[]));
    }

    #[test]
    fn a_part_of_a_listing_without_order_is_lost_and_the_whole_is_not() {
        for (after, until, listed) in [
            (None, Some("m"), &["b", "a"][..]),
            (Some("c"), None, &["d", "a"]),
            (Some("c"), None, &["a"]),
            // Behind the object of a folder nothing comes that is before it.
            (None, Some("m"), &["a-1", "a", "a-2"]),
            (None, Some("a-\u{10ffff}"), &["a-1", "a", "a.2"]),
        ] {
            assert_eq!(taken(&mut walk(after, until), listed).1, Step::Lost, "{listed:?}");
        }
        let listed = ["b", "a", "c", "c", "a-1", "a"];
        assert_eq!(taken(&mut walk(None, None), &listed).0, ["b", "a", "c", "c", "a-1", "a"]);
    }

    /// The true keys behind a place, with the forms in which they are shown.
    fn listing<'k>(keys: &'k BTreeSet<String>, after: Option<&str>) -> impl Iterator<Item = (&'k str, &'k str)> {
        let after = after.unwrap_or_default().to_owned();
        let behind = keys.range((Bound::Excluded(after), Bound::Unbounded));
        behind.map(|key| (key.as_str(), key.strip_suffix('/').unwrap_or(key)))
    }

    /// What a reader of the range takes, as the true keys.
    fn read<'k>(keys: &'k BTreeSet<String>, after: Option<&str>, until: Option<&str>) -> Vec<&'k str> {
        let mut walk = walk(after, until);
        let mut taken = Vec::new();
        for (key, shown) in listing(keys, after) {
            match walk.step(shown) {
                Step::Take => taken.push(key),
                Step::Pass => {}
                Step::End(owed) => {
                    for folder in owed {
                        let place = super::super::before_folder(&folder);
                        let first = listing(keys, Some(&place)).next();
                        taken.extend(first.filter(|(_, shown)| *shown == folder).map(|(key, _)| key));
                    }
                    break;
                }
                Step::Lost => panic!("{keys:?} are in order"),
            }
        }
        taken
    }

    #[test]
    fn whatever_the_cuts_each_key_is_taken_once_and_no_folder_in_an_objects_place() {
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..3_000 {
            let mut text =
                |most: usize| -> String { (0..=random(most)).map(|_| ["a", "-", ".", "0", "/"][random(5)]).collect() };
            let is_path = |key: &String| !key.starts_with('/') && !key.contains("//");
            let keys: BTreeSet<String> = (0..30).map(|_| text(5)).filter(is_path).collect();
            let cuts: BTreeSet<String> = (0..4).map(|_| format!("{}{}", text(4), char::MAX)).collect();
            let starts = std::iter::once(None).chain(cuts.iter().map(|cut| Some(cut.as_str())));
            let ends = cuts.iter().map(|cut| Some(cut.as_str())).chain([None]);
            let mut taken: Vec<&str> = starts.zip(ends).flat_map(|(after, until)| read(&keys, after, until)).collect();
            taken.sort_unstable();
            let is_hidden = |key: &&String| key.strip_suffix('/').is_some_and(|object| keys.contains(object));
            let expected: Vec<&str> = keys.iter().filter(|key| !is_hidden(key)).map(String::as_str).collect();
            assert_eq!(taken, expected, "{keys:?} cut at {cuts:?}");
        }
    }
}
