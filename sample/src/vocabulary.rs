//! Words, names and emojis in many scripts, and the sentences made of them.

use crate::random::Random;

/// Given names for user names and emails.
pub(crate) const ASCII_GIVEN_NAMES: &[&str] = &[
    "alice", "amir", "ana", "ben", "carla", "chen", "dana", "diego", "elif", "emma", "farid", "finn", "grace", "hana",
    "ivan", "jonas", "julia", "kofi", "lena", "leo", "maria", "mateo", "mei", "nadia", "noah", "olga", "omar", "paul",
    "priya", "quinn", "rosa", "sami", "sofia", "tariq", "tom", "uma", "victor", "wei", "yuki", "zoe",
];

/// Family names for user names and emails.
pub(crate) const ASCII_FAMILY_NAMES: &[&str] = &[
    "adler", "bauer", "costa", "dubois", "eriksen", "fischer", "garcia", "haddad", "ito", "jansen", "khan", "lopez",
    "mensah", "novak", "okafor", "petrov", "quispe", "rossi", "silva", "tanaka", "ueda", "varga", "wang", "yilmaz",
];

/// What people call themselves.
const DISPLAY_NAMES: &[&str] = &[
    "Alice Adler",
    "Ben",
    "Chloë Dubois",
    "Đỗ Thị Hương",
    "Émile Lefèvre",
    "Fatima Zahra",
    "Grzegorz Brzęczyszczykiewicz",
    "José Ángel Núñez",
    "Łukasz Żółć",
    "Søren Ørsted",
    "Ünal Yılmaz",
    "Иван Петров",
    "Ольга",
    "Παναγιώτης",
    "محمد علي",
    "שרה כהן",
    "प्रिया शर्मा",
    "王伟",
    "李小龙",
    "田中 太郎",
    "さくら🌸",
    "김민준",
    "ธนา",
    "მარიამი",
    "O'Brien, \"Pat\"",
    "🦊 fox",
    "maria_23",
    "Zoë 👩🏽‍🚀",
    "X",
    "J. R. R. von und zu Hohenlohe-Langenburg",
];

/// Profile texts.
pub(crate) const BIOS: &[&str] = &[
    "Hey there! I am using QuickChat.",
    "Coffee first ☕",
    "On the road again 🚲 → 🏔️",
    "   ",
    "Только по делу",
    "人生は旅である",
    "مرحبا بكم",
    "Mutter, Läuferin, Ingenieurin",
    "\"Stay hungry\" \\ stay foolish\nnew line",
    "🎸🎹🥁",
];

/// Names of groups.
pub(crate) const GROUP_NAMES: &[&str] = &[
    "Family ❤️",
    "Project Phoenix",
    "Fußball am Dienstag",
    "Книжный клуб",
    "Weekend trip ⛺",
    "同学会",
    "العائلة",
    "5th floor, \"quiet\" room",
    "Marathon 2026 🏃‍♀️",
    "Rent & bills",
    "Música y café",
    "ゲーム部",
];

/// Reactions: one to several code points, with modifiers, joiners and flags.
pub(crate) const EMOJIS: &[(u64, &str)] = &[
    (30, "👍"),
    (22, "❤️"),
    (18, "😂"),
    (8, "😮"),
    (6, "😢"),
    (5, "🙏"),
    (4, "🔥"),
    (3, "👏🏽"),
    (2, "👩‍👩‍👧‍👦"),
    (1, "🇧🇷"),
    (1, "+1"),
];

/// The languages' words; the first is spoken most.
const LANGUAGES: [&[&str]; 8] = [
    &[
        "the", "meeting", "is", "tomorrow", "can", "you", "send", "me", "that", "file", "again", "I", "think", "we",
        "should", "wait", "for", "their", "answer", "and", "then", "decide", "what", "time", "does", "train", "leave",
        "lunch", "at", "noon", "sounds", "good", "sorry", "running", "late", "thanks", "so", "much", "see", "on",
        "Friday", "with", "everyone", "it's", "don't", "worry", "about", "budget", "photos", "from", "weekend",
    ],
    &[
        "mañana",
        "nos",
        "vemos",
        "en",
        "la",
        "oficina",
        "¿puedes",
        "llamar",
        "después?",
        "sí",
        "claro",
        "el",
        "niño",
        "está",
        "bien",
        "gracias",
        "por",
        "todo",
        "qué",
        "hora",
        "es",
        "perdón",
        "llego",
        "tarde",
    ],
    &[
        "morgen",
        "früh",
        "können",
        "wir",
        "über",
        "das",
        "Projekt",
        "sprechen",
        "schöne",
        "Grüße",
        "aus",
        "München",
        "natürlich",
        "weiß",
        "ich",
        "nicht",
        "Straße",
        "zwölf",
        "vielleicht",
        "später",
    ],
    &[
        "привет",
        "как",
        "дела",
        "завтра",
        "встретимся",
        "у",
        "метро",
        "хорошо",
        "спасибо",
        "позвони",
        "когда",
        "сможешь",
        "ещё",
        "нет",
        "конечно",
    ],
    &["مرحبا", "كيف", "حالك", "غدا", "نلتقي", "في", "المكتب", "شكرا", "جزيلا", "نعم", "لا", "متى", "القطار"],
    &["नमस्ते", "कल", "मिलते", "हैं", "ठीक", "है", "धन्यवाद", "कब", "आओगे", "मुझे", "फ़ाइल", "भेजो"],
    &["明天", "见面", "好的", "谢谢", "你", "在", "哪里", "会议", "几点", "开始", "没问题", "等一下"],
    &["おはよう", "ございます", "明日", "会議", "は", "何時", "ですか", "了解", "ありがとう", "また", "後で", "駅"],
];

/// What is now and then put between words: things that need escapes or look like other things.
const ODDITIES: &[&str] = &[
    "😀",
    "👩🏽‍🚀",
    "\n",
    "\t",
    "\"quoted\"",
    "C:\\temp\\a.txt",
    "https://example.com/a?b=c&d=%20#e",
    "{\"$oid\":\"no\"}",
    "</script>",
    "'; DROP TABLE users; --",
    "e\u{301}",
    "\u{200B}",
    "\u{2028}",
    "100%",
    "@everyone",
    "\\u0041",
    "\u{1}",
];

/// A user's display name.
pub(crate) fn display_name(random: &mut Random) -> &'static str {
    random.pick(DISPLAY_NAMES)
}

/// Replaces `out` by a message text in a language. Most are a few words, some are long.
pub(crate) fn message_text(language: u8, random: &mut Random, out: &mut String) {
    let words = LANGUAGES[usize::from(language) % LANGUAGES.len()];
    let (low, high) =
        random.weighted(&[(500, (1, 5)), (370, (6, 11)), (115, (12, 24)), (14, (25, 80)), (1, (200, 500))]);
    out.clear();
    for position in 0..random.between(low, high) {
        if position > 0 {
            out.push(' ');
        }
        // One draw serves both questions: whether an oddity comes, and which word else.
        let draw = random.bits();
        if draw.is_multiple_of(64) {
            out.push_str(ODDITIES[(draw >> 32) as usize % ODDITIES.len()]);
        } else {
            out.push_str(words[(draw >> 32) as usize % words.len()]);
        }
    }
    if random.per_mille(150) {
        out.push_str(random.pick(&["!", "?", "...", " 😀", "。", "?!"]));
    }
}
