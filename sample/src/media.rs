//! Media objects: a small pool of files that is written, and keys of larger media that the export does not hold.
//!
//! An object's key is computed from its kind and number, so attachments and files agree without a table.

use crate::options::{DAY_MS, Sizes};
use crate::random::{Purpose, Random};
use crate::rhythm::Civil;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Image,
    Video,
    Audio,
    File,
}

impl MediaKind {
    pub(crate) const ALL: [Self; 4] = [Self::Image, Self::Video, Self::Audio, Self::File];

    /// The message type and the attachment type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::File => "file",
        }
    }

    /// Extensions with their content types.
    fn formats(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Image => {
                &[("jpg", "image/jpeg"), ("png", "image/png"), ("webp", "image/webp"), ("HEIC", "image/heic")]
            }
            Self::Video => &[("mp4", "video/mp4"), ("mov", "video/quicktime"), ("webm", "video/webm")],
            Self::Audio => &[("ogg", "audio/ogg"), ("m4a", "audio/mp4"), ("opus", "audio/opus"), ("mp3", "audio/mpeg")],
            Self::File => &[
                ("pdf", "application/pdf"),
                ("zip", "application/zip"),
                ("txt", "text/plain"),
                ("bin", "application/octet-stream"),
            ],
        }
    }
}

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct MediaObject {
    /// The path below `media/`.
    pub(crate) key: String,
    pub(crate) mime_type: &'static str,
    /// The real size of a pool object, else one that such a file would have.
    pub(crate) size_bytes: i64,
    pub(crate) modified_ms: i64,
}

/// The objects that are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MediaPool {
    seed: u64,
    start_ms: i64,
    end_ms: i64,
    per_kind: u64,
}

impl MediaPool {
    /// Between 3 and 64 objects of each kind.
    pub(crate) fn new(seed: u64, sizes: &Sizes) -> Self {
        let per_kind = (sizes.messages / 500).clamp(3, 64);
        Self { seed, start_ms: sizes.start_ms, end_ms: sizes.end_ms, per_kind }
    }

    /// Every object to write. The last of each kind is an orphan that no attachment names.
    pub(crate) fn objects(&self) -> impl Iterator<Item = MediaObject> + '_ {
        MediaKind::ALL.into_iter().flat_map(move |kind| (0..self.per_kind).map(move |number| self.object(kind, number)))
    }

    /// The object that an attachment names: one of the pool for a third of them, else one that is not exported.
    pub(crate) fn draw(&self, kind: MediaKind, random: &mut Random) -> MediaObject {
        let number =
            if random.per_mille(330) { random.below(self.per_kind - 1) } else { self.per_kind + random.below(1 << 40) };
        self.object(kind, number)
    }

    fn object(&self, kind: MediaKind, number: u64) -> MediaObject {
        let mut random = Random::keyed(self.seed, Purpose::Media, number * 4 + kind as u64);
        let modified_ms = random.between(self.start_ms - 30 * DAY_MS, self.end_ms - 1);
        let name = random.bits();
        let (extension, mime_type) = random.pick(kind.formats());
        let Civil { year, month, .. } = Civil::from_ms(modified_ms);
        let size_bytes = if number < self.per_kind {
            random.between(32, 2048)
        } else {
            match kind {
                MediaKind::Image => random.between(40_000, 6_000_000),
                MediaKind::Video => random.between(800_000, 90_000_000),
                MediaKind::Audio => random.between(8_000, 3_000_000),
                MediaKind::File => random.between(1_000, 25_000_000),
            }
        };
        let key = format!("{}s/{year}/{month:02}/{name:016x}.{extension}", kind.name());
        MediaObject { key, mime_type, size_bytes, modified_ms }
    }
}

/// The bytes of an object: its key again and again, cut to its size.
pub(crate) fn content(object: &MediaObject) -> Vec<u8> {
    object.key.bytes().cycle().take(object.size_bytes as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SampleOptions;

    #[test]
    fn attachments_name_written_and_absent_objects() {
        let sizes = SampleOptions::default().sizes().unwrap();
        let pool = MediaPool::new(1, &sizes);
        let written: Vec<String> = pool.objects().map(|object| object.key).collect();
        assert_eq!(written.len() as u64, 4 * pool.per_kind);
        let mut random = Random::keyed(1, Purpose::Message, 1);
        let drawn: Vec<String> = (0..500).map(|_| pool.draw(MediaKind::Audio, &mut random).key).collect();
        let hits = drawn.iter().filter(|key| written.contains(key)).count();
        assert!((100..250).contains(&hits), "{hits}");
        let orphan = pool.object(MediaKind::Audio, pool.per_kind - 1).key;
        assert!(!drawn.contains(&orphan));
    }
}
