//! Writes a sample and prints its summary, for measuring: `generate <messages> <folder> [--gzip]`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use quickchat_sample::{SampleOptions, generate};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program's output")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [messages, folder, rest @ ..] = &arguments[..] else {
        eprintln!("usage: generate <messages> <folder> [--gzip]");
        return ExitCode::from(2);
    };
    let Ok(messages) = messages.parse() else {
        eprintln!("{messages} is not a number of messages");
        return ExitCode::from(2);
    };
    let gzip = rest.iter().any(|argument| argument == "--gzip");
    let options = SampleOptions { messages, gzip, ..SampleOptions::default() };
    let begin = Instant::now();
    match generate(&options, Path::new(folder)) {
        Ok(summary) => {
            for collection in &summary.collections {
                let bad = collection.bad.total();
                println!(
                    "{:14} {:3} files {:9} documents {:11} bytes {:9} distinct {:6} updated {:6} repeated {bad:6} bad",
                    collection.collection.name(),
                    collection.files.len(),
                    collection.documents(),
                    collection.bytes(),
                    collection.distinct,
                    collection.updated,
                    collection.repeated,
                );
            }
            println!("{} bytes, {} media objects, {:.2?}", summary.bytes(), summary.media_objects, begin.elapsed());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
