//! The proof that stream = batch = SQL: `.slt` files and random query shapes, each run by several
//! drivers over the same logs and compared bit by bit with each other and with oracles that share
//! no code with the engine. One process, libtest-mimic; `SKEWLESS_CASES` scales the random part,
//! `SKEWLESS_SEED` repeats one case.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by failing; helpers of tests are tests too"
)]

mod harness;
mod random;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::modes::Sabotage;
use harness::run::Mode;
use harness::script::{Record, parse};
use libtest_mimic::{Arguments, Failed, Trial};

/// Runs a future on a thread with the stack that planning needs.
fn on_big_stack<F>(run: impl FnOnce() -> F + Send + 'static) -> Result<(), Failed>
where
    F: Future<Output = Result<(), String>>,
{
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run())
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(body).unwrap();
    match thread.join() {
        Ok(result) => result.map_err(Failed::from),
        Err(panic) => Err(match panic.downcast::<String>() {
            Ok(text) => Failed::from(*text),
            Err(_) => Failed::from("panicked"),
        }),
    }
}

fn trial(name: String, run: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(Failed::from))
}

/// Every `.slt` file under `directory`, sorted.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "slt") {
            found.push(path);
        }
    }
}

/// Four trials for each file: the same records in every mode.
fn scripts(trials: &mut Vec<Trial>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().with_extension("").display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let records: Arc<Result<Vec<Record>, String>> = Arc::new(parse(&text));
        for mode in Mode::ALL {
            let (records, name) = (records.clone(), name.clone());
            trials.push(Trial::test(format!("{name}/{}", mode.name()), move || {
                on_big_stack(move || async move {
                    let records = records.as_ref().as_ref().map_err(|e| format!("{name}: {e}"))?;
                    harness::run::run(&name, records, mode).await
                })
            }));
        }
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        trial("self/exact".into(), harness::exact::self_check),
        trial("self/script".into(), harness::script::self_check),
    ];
    scripts(&mut trials);
    for shape in random::shapes::all() {
        let shape = Arc::new(shape);
        let agreeing = shape.clone();
        trials.push(Trial::test(format!("oracles/{}", shape.name), move || {
            on_big_stack(move || async move { random::trial::oracles_agree(&agreeing).await })
        }));
        trials.push(Trial::test(format!("random/{}", shape.name), move || {
            on_big_stack(move || async move { random::trial::parity(&shape).await })
        }));
    }
    for fault in Sabotage::FAULTS {
        trials.push(Trial::test(format!("sabotage/{fault:?}"), move || {
            on_big_stack(move || async move {
                let shape = random::shapes::all().remove(0);
                random::trial::sabotage(&shape, fault).await
            })
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
