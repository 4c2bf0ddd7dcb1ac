//! Reading the words in which Ballista reports a failed job.
//!
//! The protocol carries a failure as one text: the debug form of nested errors, wrapped in sentences that name stage
//! and task. The kind is told from the names of the error variants in it, and the innermost message is what a user is
//! shown. Nothing depends on this being right but the exit code and the wording.

use quickchat_lake::stores::{PASSING, REFUSED};

use super::error::FailureKind;

/// Sentences that Ballista puts around the cause.
const WRAPPINGS: &[&str] =
    &["Task failed due to runtime execution error: ", "Task failed due to IO error: ", "DataFusion error: "];

/// Stands before the job's id and the failure of its planning.
const PLANNING: &str = "Error planning job ";

/// Stands before the quoted failure of the last attempt.
const LAST_ATTEMPT: &str = "most recent failure reason: ";

/// The kind of a failure.
pub(super) fn kind(text: &str) -> FailureKind {
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if has(&["all executors were lost"]) {
        FailureKind::ExecutorsLost
    } else if has(&["ResourcesExhausted", "Resources exhausted", "No space left", "StorageFull"]) {
        FailureKind::Resources
    } else if has(&[PASSING, REFUSED]) {
        // Also where a Parquet reader says it.
        FailureKind::Io
    } else if has(&["IoError", "IO error", "ObjectStore", "Object Store error", "FetchFailed", "Shuffle fetch"])
        || has(&["GrpcConnectionError", "GrpcError", "GrpcActionError", "TonicError", "FetchPartitionError"])
    {
        FailureKind::Io
    } else if has(&["Error planning job", "Error during planning", "Plan(", "SchemaError", "Schema error", "SQL("]) {
        FailureKind::Plan
    } else if has(&["Internal(", "Internal error", "panicked", "NotImplemented"]) {
        FailureKind::Internal
    } else if has(&["Execution(", "Execution error", "ArrowError", "Arrow error", "ParquetError", "External("]) {
        FailureKind::Data
    } else {
        FailureKind::Internal
    }
}

/// The cause without what is wrapped around it.
pub(super) fn cause(text: &str) -> String {
    let mut rest = text.trim();
    // After the last of several attempts its failure is quoted.
    if let Some((_, quoted)) = rest.rsplit_once(LAST_ATTEMPT)
        && let Some(inner) = quoted.trim().strip_prefix('"').and_then(|inner| inner.strip_suffix('"'))
    {
        return cause(&unescape(inner));
    }
    // Names the job, which the message does anyway.
    if let Some((_, planning)) = rest.split_once(PLANNING)
        && let Some((_job, cause)) = planning.split_once(": ")
    {
        rest = cause;
    }
    for wrapping in WRAPPINGS {
        if let Some(at) = rest.rfind(wrapping) {
            rest = &rest[at + wrapping.len()..];
        }
    }
    let innermost = unwrap_debug(rest.trim());
    if innermost.is_empty() { text.trim().to_owned() } else { innermost }
}

/// `Outer(Inner("what happened"))` becomes `what happened`; any other shape stays as it is.
fn unwrap_debug(text: &str) -> String {
    let mut inner = text;
    loop {
        // An I/O error that was made of another error.
        if let Some(custom) = inner.strip_prefix("Custom { kind: ").and_then(|inner| inner.strip_suffix(" }"))
            && let Some((_, error)) = custom.split_once(", error: ")
        {
            inner = error;
            continue;
        }
        let Some(open) = inner.find('(') else { break };
        let name = &inner[..open];
        let is_variant = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        // Errors with a backtrace print as `Variant(inner, None)`.
        let body = inner[open + 1..].strip_suffix(')').map(|body| body.strip_suffix(", None").unwrap_or(body));
        match body {
            Some(body) if is_variant => inner = body.trim(),
            _ => break,
        }
    }
    match inner.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(quoted) => unescape(quoted),
        None => inner.to_owned(),
    }
}

/// What a quoted text stands for.
fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(escaped) => text.push(escaped),
                None => text.push('\\'),
            },
            (plain, false) => text.push(plain),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_kinds_apart() {
        for (text, expected) in [
            ("all executors were lost and no executor re-registered within 30s", FailureKind::ExecutorsLost),
            ("Task failed due to IO error: DataFusionError(IoError(Custom { .. }))", FailureKind::Io),
            (
                "Task 1 in Stage 1 failed 4 times, fail the stage, most recent failure reason: \"Task failed due to IO \
              error: IoError(..)\"",
                FailureKind::Io,
            ),
            ("Error planning job a1: DataFusionError(Plan(\"no such column\"))", FailureKind::Plan),
            ("runtime execution error: ArrowError(DivideByZero)", FailureKind::Data),
            ("runtime execution error: DataFusionError(ResourcesExhausted(\"..\"))", FailureKind::Resources),
            ("Internal(\"index out of bounds\")", FailureKind::Internal),
            ("something new", FailureKind::Internal),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn shows_the_innermost_message() {
        assert_eq!(
            cause(
                "Job failed due to stage 1 failed: Task failed due to runtime execution error: \
                 DataFusionError(Execution(\"column \\\"a\\\" is empty\"))\n"
            ),
            "column \"a\" is empty"
        );
        assert_eq!(cause("Task failed due to runtime execution error: ArrowError(DivideByZero)"), "DivideByZero");
        assert_eq!(
            cause("X: ArrowError(CastError(\"bad (value)\"), None)"),
            "X: ArrowError(CastError(\"bad (value)\"), None)"
        );
        let told = "\"a.json (all of it) is \\\"broken\\\"\"";
        let attempt =
            format!("Task failed due to IO error: DataFusionError(IoError(Custom {{ kind: Other, error: {told} }}))");
        assert_eq!(cause(&attempt), "a.json (all of it) is \"broken\"");
        let attempts = format!(
            "Job failed due to stage 1 failed: Task 1 in Stage 1 failed 4 times, fail the stage, most recent failure reason: {attempt:?}"
        );
        assert_eq!(cause(&attempts), "a.json (all of it) is \"broken\"");
        assert_eq!(cause("Error planning job 038G: DataFusionError(External(\"no such table\"))"), "no such table");
        assert_eq!(cause("plain words (with brackets)"), "plain words (with brackets)");
        assert_eq!(cause(""), "");
    }
}
