//! The `rehearsal` binary: run files, devices, loops, run directories.
//!
//! Architecture invariant: only this crate knows clap, anyhow and toml, prints, and catches signals. Exit codes: 0
//! done, 2 a wrong command line or run file, 130 stopped by Ctrl-C, 1 everything else; every error is one line.

mod args;
mod cache;
mod clock;
mod config;
mod config_file;
mod convert;
mod crash;
mod device;
mod doctor;
mod errors;
mod inspect;
mod interrupt;
mod live;
mod memory;
mod output;
mod pool;
mod progress;
mod report;
mod run_dir;
mod source;
mod stages;
mod table;
mod tools;
mod view;

use std::process::ExitCode;

use anyhow::Result;
use args::{Cli, Verb};
use clap::Parser;
use clap::error::ErrorKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    crash::install_hook();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(words) => return command_line(&words),
    };
    // A panic has said its line through the hook; what is left is the exit code.
    let outcome = std::panic::catch_unwind(|| dispatch(&cli));
    live::finish();
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let prefix = if errors::is_stop(&error) { "" } else { "error: " };
            output::complain(&format!("{prefix}{}", errors::one_line(&error)));
            ExitCode::from(errors::exit_code(&error))
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn dispatch(cli: &Cli) -> Result<()> {
    let common = &cli.common;
    common.device()?; // a misspelt device is a usage error whatever the verb
    live::connect(common.rerun_connect.as_deref());
    match &cli.verb {
        Verb::Demo { quick } => stages::demo(*quick, common),
        Verb::Run { from: Some(from), .. } => stages::run_again(from, common),
        Verb::Run { config, quick, from: None } => stages::run(config.as_deref(), *quick, common),
        Verb::Inspect { path, rrd, episodes } => {
            let path = path.as_ref().or(common.data.as_ref());
            let path =
                path.ok_or_else(|| errors::UsageError("no dataset named; expected: rehearsal inspect PATH".into()))?;
            inspect::inspect(path, rrd.as_deref(), episodes.as_ref().unwrap_or(&args::Choice::Few), common)
        }
        Verb::Convert { input, output, append, lossless } => {
            let pictures = if *lossless { episodes::Pictures::Embedded } else { episodes::Pictures::Video };
            convert::convert(input, &episodes::Destination { path: output, append: *append, pictures }, common)
        }
        Verb::Train { what, config } => stages::train(*what, config.as_deref(), common),
        Verb::Improve { run, more: None, .. } => stages::improve(run, common),
        Verb::Improve { run, more: Some(more), labels } => stages::improve_more(run, more, labels.as_deref(), common),
        Verb::Branch { run, episode, step, arms, where_it_went_wrong, horizon, write, beyond_trust } => {
            let arms =
                arms.as_ref().map(|arms| arms.iter().flat_map(|arms| arms.0.iter().cloned()).collect::<Vec<_>>());
            let write = write.as_deref().map(|dir| stages::Target { dir, beyond_trust: *beyond_trust });
            match (episode, step) {
                (Some(episode), Some(step)) if !where_it_went_wrong => {
                    stages::branch(run, (*episode, *step), (arms.as_deref(), *horizon), write, common)
                }
                _ => stages::where_it_went_wrong(run, *episode, (arms.as_deref(), *horizon), write, common),
            }
        }
        Verb::Evaluate { run, policies, outsiders, known } => {
            stages::evaluate(run, policies, outsiders, known.as_deref(), common)
        }
        Verb::Trial { run, from, to, outsiders, results } => {
            stages::trial(run, &stages::Replacing { from, to: to.as_deref(), outsiders }, results.as_deref(), common)
        }
        Verb::Distil { run, policy } => stages::distil(run, *policy, common),
        Verb::Pool { runs } => pool::pool(runs, common.json),
        Verb::View { run } => view::view(run, common.json),
        Verb::Serve { from, policy, port, host, api_key } => {
            stages::serve(from, policy.as_deref(), (host, *port), api_key.as_deref(), common)
        }
        Verb::Cache { evict, keep_below } => {
            cache::cache(&tools::cache_dir(), evict.as_deref(), *keep_below, common.json)
        }
        Verb::Doctor => {
            let doctor = doctor::examine();
            if common.json {
                return output::answer_json(&doctor);
            }
            output::answer(&doctor.to_string());
            Ok(())
        }
    }
}

/// Help and version as clap prints them; a mistake as one line.
fn command_line(words: &clap::Error) -> ExitCode {
    match words.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::answer(&words.render().to_string());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::complain(&words.render().to_string());
            ExitCode::from(2)
        }
        _ => {
            output::complain(&format!("error: {}", args::usage_words(words, std::env::args_os().skip(1))));
            ExitCode::from(2)
        }
    }
}
