//! Ctrl-C while a run works on a remote cluster.

use std::time::{Duration, Instant};

use crate::fixtures::{RANDOM_AS_OF, pipeline, steps};
use crate::lake::{Tables, assert_no_landing, copy, difference};
use crate::process::{Running, scratch, until};
use crate::remote::Remote;

#[test]
fn an_interrupt_cancels_the_job_and_leaves_every_table_as_it_was() {
    let steps = steps();
    let remote = Remote::start("interrupt-executors", 2);
    // Early, while documents are read, and later, while tables are computed.
    for (round, layer) in ["bronze.", "silver."].into_iter().enumerate() {
        let lake = scratch(&format!("interrupted-{round}")).join("lake");
        copy(&steps.lakes[0], &lake);
        let mut command = pipeline(&steps.exports[1], &lake, RANDOM_AS_OF);
        let client = Running::start(command.args(["--scheduler", &remote.url]));
        let mut interrupted = String::new();
        until("a running task", Duration::from_secs(100), || {
            let busy = remote
                .running_jobs()
                .into_iter()
                .find(|(id, name)| name.starts_with(layer) && !remote.running_tasks(id).is_empty());
            busy.is_some_and(|(id, _)| {
                interrupted = id;
                true
            })
        });
        client.signal("INT");
        let sent = Instant::now();
        let ended = client.wait().expect(130);
        assert!(sent.elapsed() < Duration::from_secs(20), "{:?} until the end", sent.elapsed());
        assert_eq!(ended.stdout, "", "no report of a run that did not end");
        ended.says(&["interrupted"]);

        // When the command has ended, so has its work on the cluster.
        assert_eq!(remote.running_jobs(), [], "{ended}");
        let state = &remote.api(&format!("/api/job/{interrupted}"))["status"];
        assert!(state == "Failed" || state == "Completed", "{state}");
        let landing_and_tables = || {
            assert_no_landing(&lake);
            Tables::read(&lake)
        };
        let tables = landing_and_tables();
        for (name, table) in &tables.0 {
            if *table == steps.tables[0].0[name] {
                continue;
            }
            // What had been committed before, or was being committed, is told.
            assert!(ended.stderr.contains(&format!("{name} (version ")), "{name} was changed unsaid: {ended}");
            assert_eq!(difference(&table.rows, &steps.tables[1].0[name].rows), None, "{name} is half-written");
        }
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(landing_and_tables(), tables, "nothing goes on afterwards");
    }
    assert!(remote.states().iter().any(|state| state == "Failed"), "a job was cancelled: {:?}", remote.states());
}
