//! Tables as they were: `silver.messages@v12`, `silver.messages@2026-01-31`, `silver.messages@2026-01-31T13:00:00Z`.
//!
//! SQL has no such names, so a query's text is changed before it is parsed: the table's name with its version becomes
//! one quoted identifier, `silver."messages@2026-01-31"`, and a table of that name is put into the session. Where such
//! a name stands is left to the SQL tokenizer, which knows strings, comments and quoted identifiers; what follows the
//! `@` is read from the text itself, since to SQL a date is a subtraction. Rejected: `FOR VERSION AS OF`, which the
//! parser has for a few dialects only, and a search in the text, which would change strings.

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use crate::instant::parse_instant;

/// A version of a table, as a query names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// By its number.
    Number(u64),
    /// The one that was the newest at an instant.
    At(DateTime<Utc>),
}

/// Splits `messages@v12`; none if no version is named. The error is the text that is no version.
pub(crate) fn split(table: &str) -> Result<(&str, Option<Version>), String> {
    let Some((name, version)) = table.split_once('@') else { return Ok((table, None)) };
    let number = version.strip_prefix(['v', 'V']).and_then(|digits| digits.parse().ok());
    let parsed = match number {
        Some(number) => Some(Version::Number(number)),
        None => parse_instant(version).ok().map(Version::At),
    };
    parsed.map(|version| (name, Some(version))).ok_or_else(|| version.to_owned())
}

/// The query with the names of tables that have a version as quoted identifiers. What is no SQL is left as it is, for
/// the parser to complain about.
pub(crate) fn quote_versions(sql: &str) -> String {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else { return sql.to_owned() };
    let lines = Lines::of(sql);
    let mut quoted = String::with_capacity(sql.len());
    let mut copied = 0;
    for window in tokens.windows(3) {
        let [Some(_), None, Some(table)] = [word(&window[0]), word(&window[1]), word(&window[2])] else { continue };
        if window[1].token != Token::Period || !table.value.contains('@') {
            continue;
        }
        let Some(start) = lines.offset(window[2].span.start).filter(|start| *start >= copied) else { continue };
        let length = sql[start..].find(|char| !belongs_to_name(char)).unwrap_or(sql.len() - start);
        quoted.push_str(&sql[copied..start]);
        quoted.push('"');
        quoted.push_str(&sql[start..start + length]);
        quoted.push('"');
        copied = start + length;
    }
    quoted.push_str(&sql[copied..]);
    quoted
}

/// An identifier without quotes.
fn word(token: &TokenWithSpan) -> Option<&Word> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word),
        _ => None,
    }
}

/// Characters of names, numbers, dates and instants.
fn belongs_to_name(char: char) -> bool {
    char.is_alphanumeric() || "_@-:.+".contains(char)
}

/// Where lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The byte at which a place begins, which is given by line and character, both from 1.
    fn offset(&self, place: Location) -> Option<usize> {
        let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
        let start = *self.starts.get(line)?;
        self.text[start..].char_indices().nth(column).map(|(at, _)| start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_quoted_names() {
        for (query, expected) in [
            ("SELECT * FROM silver.messages@v12", r#"SELECT * FROM silver."messages@v12""#),
            ("SELECT * FROM silver.messages@2026-01-31;", r#"SELECT * FROM silver."messages@2026-01-31";"#),
            (
                "SELECT * FROM (SELECT 1 FROM silver.messages@2026-01-31T13:00:00+01:00) x",
                r#"SELECT * FROM (SELECT 1 FROM silver."messages@2026-01-31T13:00:00+01:00") x"#,
            ),
            (
                "SELECT 'ä',\n 1 FROM gold.a@v1 n\nJOIN gold.a@v2 AS o USING (id)",
                "SELECT 'ä',\n 1 FROM gold.\"a@v1\" n\nJOIN gold.\"a@v2\" AS o USING (id)",
            ),
        ] {
            assert_eq!(quote_versions(query), expected);
        }
    }

    #[test]
    fn everything_else_stays() {
        for query in [
            "SELECT * FROM silver.messages",
            "SELECT 'silver.messages@v12', \"silver.x@v1\", \"silver\".\"messages@v1\" -- silver.messages@v12",
            "SELECT /* silver.messages@v12 */ $$ silver.messages@v12 $$ FROM a.b",
            "SELECT @x, x @> y, 1 FROM a.b",
            "SELECT 'unterminated FROM silver.messages@v12",
            "",
        ] {
            assert_eq!(quote_versions(query), query);
        }
    }

    #[test]
    fn versions_are_numbers_or_instants() {
        let at = |text: &str| Some(Version::At(parse_instant(text).unwrap()));
        assert_eq!(split("messages"), Ok(("messages", None)));
        assert_eq!(split("messages@v12"), Ok(("messages", Some(Version::Number(12)))));
        assert_eq!(split("messages@2026-01-31"), Ok(("messages", at("2026-01-31T00:00:00Z"))));
        assert_eq!(split("messages@2026-01-31T13:00:00+01:00"), Ok(("messages", at("2026-01-31T12:00:00Z"))));
        for text in ["12", "v", "v-1", "v1.content", "yesterday", "2026-02-30", ""] {
            assert_eq!(split(&format!("messages@{text}")), Err(text.to_owned()));
        }
    }
}
