//! Writes a whole sample: messages as the traffic yields them, then what the traffic left behind, then the rest.
//!
//! Repeats need no memory of the documents: whether document i comes again, and in which state, follows from i. For
//! messages the second time comes a few thousand messages later, for the small collections at the end of the file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::documents::conversation::LastMessage;
use crate::documents::{Version, call, conversation, message, notification, user};
use crate::error::SampleError;
use crate::flawed;
use crate::json::Json;
use crate::options::SampleOptions;
use crate::output::{CollectionFiles, FilePlan, Staging};
use crate::random::{Purpose, Random};
use crate::style::Style;
use crate::summary::{BadCounts, Collection, CollectionSummary, SampleSummary};
use crate::tables::{Flaw, Row, audit_logs, auth_users, sessions};
use crate::traffic::{Message, Traffic};
use crate::world::World;

/// A message's repeat comes at most this many messages after it.
const MAX_DELAY_MESSAGES: u64 = 5000;

/// Writes the export folder `out_dir`, which must be absent or empty, and says what is in it.
///
/// The folder appears at the end, complete; after an error the target is as it was. See the crate's documentation for
/// what the files hold.
pub fn generate(options: &SampleOptions, out_dir: &Path) -> Result<SampleSummary, SampleError> {
    let world = World::new(options)?;
    let staging = Staging::create(out_dir)?;
    let mut run = Run::new(options, &world, &staging);
    let mut collections = vec![run.messages()?];
    let sizes = &world.sizes;
    for (collection, count) in [
        (Collection::Users, sizes.users),
        (Collection::Conversations, sizes.conversations),
        (Collection::Calls, sizes.calls),
        (Collection::Notifications, sizes.notifications),
        (Collection::AuthUsers, sizes.users),
        (Collection::AuthSessions, sizes.sessions),
        (Collection::AuditLogs, sizes.audit_logs),
    ] {
        collections.push(run.collection(collection, count)?);
    }
    let orphan_messages = run.orphan_messages;
    let (media_objects, media_bytes) = staging.write_media(world.media.objects())?;
    staging.publish()?;
    Ok(SampleSummary { collections, orphan_messages, media_objects, media_bytes })
}

/// The state of one generation.
struct Run<'a> {
    options: &'a SampleOptions,
    world: &'a World,
    staging: &'a Staging,
    json: Json,
    row: Row,
    text: String,
    /// The last message of every conversation.
    last_messages: Vec<Option<LastMessage>>,
    /// When every user last wrote.
    last_written_ms: Vec<Option<i64>>,
    orphan_messages: u64,
}

/// What one collection has so far.
struct Tally {
    collection: Collection,
    files: CollectionFiles,
    distinct: u64,
    updated: u64,
    repeated: u64,
    bad: BadCounts,
    bad_due: u64,
}

/// How a document comes a second time.
#[derive(Clone, Copy)]
struct Repeat {
    first: Version,
    second: Version,
}

/// Whether the document `index` comes again: 17 of 1000 do, 12 in another state.
fn repeat(world: &World, collection: Collection, index: u64) -> (Option<Repeat>, Random) {
    let mut random = world.random(Purpose::Repeat, ((collection as u64) << 48) | index);
    let (first, second) = match random.below(1000) {
        0..2 => (Version::Other, Version::Current),
        2..12 => (Version::Current, Version::Other),
        12..17 => (Version::Current, Version::Current),
        _ => return (None, random),
    };
    (Some(Repeat { first, second }), random)
}

impl Tally {
    fn new(
        options: &SampleOptions,
        staging: &Staging,
        collection: Collection,
        count: u64,
    ) -> Result<Self, SampleError> {
        let (stem, header): (&str, &[u8]) = match collection {
            Collection::AuthUsers => ("auth_users", auth_users::HEADER),
            Collection::AuthSessions => ("sessions", sessions::HEADER),
            Collection::AuditLogs => ("audit_logs", audit_logs::HEADER),
            other => (other.name(), b""),
        };
        let (folder, extension) = if collection.is_csv() { ("mysql", "csv") } else { ("mongodb", "json") };
        let limit_bytes = (collection == Collection::Messages).then_some(options.messages_file_bytes);
        let plan = FilePlan { folder, stem, extension, header, gzip: options.gzip, limit_bytes };
        let files = staging.files(plan)?;
        let bad_due = options.bad_documents(count);
        Ok(Self { collection, files, distinct: 0, updated: 0, repeated: 0, bad: BadCounts::default(), bad_due })
    }

    /// Counts one valid document after the first of its id.
    fn count_again(&mut self, is_updated: bool) {
        if is_updated {
            self.updated += 1;
        } else {
            self.repeated += 1;
        }
    }

    /// How many bad documents should be written by now: they are spread evenly.
    fn bad_by_now(&self, count: u64) -> u64 {
        (u128::from(self.bad_due) * u128::from(self.distinct) / u128::from(count)) as u64
    }

    fn finish(self) -> Result<CollectionSummary, SampleError> {
        let Self { collection, files, distinct, updated, repeated, bad, .. } = self;
        Ok(CollectionSummary { collection, files: files.finish()?, distinct, updated, repeated, bad })
    }
}

impl<'a> Run<'a> {
    fn new(options: &'a SampleOptions, world: &'a World, staging: &'a Staging) -> Self {
        Self {
            options,
            world,
            staging,
            json: Json::new(Style::draw(&mut world.random(Purpose::Flaw, 0))),
            row: Row::default(),
            text: String::new(),
            last_messages: vec![None; world.population.conversation_count() as usize],
            last_written_ms: vec![None; world.population.user_count() as usize],
            orphan_messages: 0,
        }
    }

    /// Writes the messages in time order, their repeats a little later.
    fn messages(&mut self) -> Result<CollectionSummary, SampleError> {
        let count = self.world.sizes.messages;
        let mut tally = Tally::new(self.options, self.staging, Collection::Messages, count)?;
        // Repeats by the position at which they are due.
        let mut waiting: BTreeMap<(u64, u64), (Message, Version, bool)> = BTreeMap::new();
        for message in Traffic::new(self.world) {
            self.note(&message);
            let (repeat, mut random) = repeat(self.world, Collection::Messages, message.index);
            let first = repeat.map_or(Version::Current, |repeat| repeat.first);
            let was_other = self.message(&message, first, &mut tally)?;
            tally.distinct += 1;
            if let Some(repeat) = repeat {
                let due = message.index + random.below(MAX_DELAY_MESSAGES);
                waiting.insert((due, message.index), (message, repeat.second, was_other));
            }
            while let Some(entry) = waiting.first_entry().filter(|entry| entry.key().0 <= message.index) {
                let (message, version, was_other) = entry.remove();
                let is_other = self.message(&message, version, &mut tally)?;
                tally.count_again(is_other != was_other);
            }
            self.write_bad(&mut tally, count)?;
        }
        for (message, version, was_other) in waiting.into_values() {
            let is_other = self.message(&message, version, &mut tally)?;
            tally.count_again(is_other != was_other);
        }
        tally.finish()
    }

    fn message(&mut self, message: &Message, version: Version, tally: &mut Tally) -> Result<bool, SampleError> {
        let is_other = message::write(self.world, message, version, &mut self.json, &mut self.text);
        tally.files.write(self.json.end())?;
        Ok(is_other)
    }

    /// Keeps what the other collections say about the traffic.
    fn note(&mut self, message: &Message) {
        let last = LastMessage { created_ms: message.created_ms, index: message.index };
        self.last_messages[message.conversation as usize] = Some(last);
        match message.sender_user {
            Some(user) => self.last_written_ms[user as usize] = Some(message.created_ms),
            None => self.orphan_messages += 1,
        }
    }

    /// Writes a collection other than messages.
    fn collection(&mut self, collection: Collection, count: u64) -> Result<CollectionSummary, SampleError> {
        let mut tally = Tally::new(self.options, self.staging, collection, count)?;
        for index in 0..count {
            let first = repeat(self.world, collection, index).0.map_or(Version::Current, |repeat| repeat.first);
            self.document(index, first, &mut tally)?;
            tally.distinct += 1;
            self.write_bad(&mut tally, count)?;
        }
        for index in 0..count {
            if let Some(Repeat { first, second }) = repeat(self.world, collection, index).0 {
                let is_other = self.document(index, second, &mut tally)?;
                // Only the state that is asked for as the other one can differ; where that was the first, look again.
                let was_other = first == Version::Other && self.render(collection, index, first, None);
                tally.count_again(is_other != was_other);
            }
        }
        tally.finish()
    }

    fn document(&mut self, index: u64, version: Version, tally: &mut Tally) -> Result<bool, SampleError> {
        let is_other = self.render(tally.collection, index, version, None);
        tally.files.write(self.line(tally.collection))?;
        Ok(is_other)
    }

    /// Writes the bad documents that are due.
    fn write_bad(&mut self, tally: &mut Tally, count: u64) -> Result<(), SampleError> {
        let collection = tally.collection;
        while tally.bad.total() < tally.bad_by_now(count) {
            let serial = tally.bad.total();
            let reason = flawed::reason(collection, serial);
            if collection.is_csv() {
                self.render(collection, count + serial, Version::Current, Some(Flaw { reason, serial }));
                tally.files.write(self.line(collection))?;
            } else {
                tally.files.write(&flawed::document(self.world, collection, serial, reason))?;
            }
            tally.bad.add(reason);
        }
        Ok(())
    }

    /// Renders a document and says whether it is a state other than the current one.
    fn render(&mut self, collection: Collection, index: u64, version: Version, flaw: Option<Flaw>) -> bool {
        let (world, json, row) = (self.world, &mut self.json, &mut self.row);
        match collection {
            Collection::Users => user::write(world, index as u32, self.last_written_ms[index as usize], version, json),
            Collection::Conversations => {
                conversation::write(world, index as u32, self.last_messages[index as usize], version, json)
            }
            Collection::Calls => call::write(world, index, version, json),
            // Messages are written from the traffic, never from here.
            Collection::Notifications | Collection::Messages => notification::write(world, index, version, json),
            Collection::AuthUsers => auth_users::write(world, index, version, flaw, row),
            Collection::AuthSessions => sessions::write(world, index, version, flaw, row),
            Collection::AuditLogs => audit_logs::write(world, index, version, flaw, row),
        }
    }

    /// The line that was rendered last.
    fn line(&mut self, collection: Collection) -> &[u8] {
        if collection.is_csv() { self.row.end() } else { self.json.end() }
    }
}
