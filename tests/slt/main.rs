//! The proof that stream = batch = SQL: `.slt` files and random query shapes, each run by several
//! drivers over the same logs and compared bit by bit with each other and with oracles that share
//! no code with the engine. One process, libtest-mimic; `SKEWLESS_CASES` scales the random part,
//! `SKEWLESS_SEED` repeats one case.

mod harness;
mod random;

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

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        trial("self/exact".into(), harness::exact::self_check),
        trial("self/script".into(), harness::script::self_check),
    ];
    for shape in random::shapes::all() {
        let name = format!("oracles/{}", shape.name);
        trials.push(Trial::test(name, move || {
            on_big_stack(move || async move { random::trial::oracles_agree(&shape).await })
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
