//! The other side of the wire for the interop tests. Options are one JSON argument.
//!
//!     counterpart module '{"secrets": ["KEY"], …}'        a module, started by the orchestrator under test
//!     counterpart orchestrator '{"command": […], …}'      an orchestrator, which starts the module under test
//!     counterpart check                                   reads what the other side wrote, one request a line
//!     counterpart bench SECONDS                           messages written and read in a second

mod check;
mod module;
mod orchestrator;
mod services;
mod wire;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["module", options] => module::run(options).await,
        ["orchestrator", options] => orchestrator::run(options).await,
        ["check"] => check::run(),
        ["bench", seconds] => check::bench(seconds),
        _ => Err("counterpart module|orchestrator|check|bench".into()),
    };
    if let Err(error) = &outcome {
        eprintln!("counterpart: {error}");
    }
    // A thread of tokio may still wait for standard input: do not wait for it.
    std::process::exit(if outcome.is_ok() { 0 } else { 1 });
}
