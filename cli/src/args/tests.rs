//! Command lines, right and wrong.

use super::*;

fn words(line: &str) -> String {
    let error = Cli::try_parse_from(line.split_whitespace()).expect_err("this command line is wrong");
    usage_words(&error, line.split_whitespace().skip(1).map(OsString::from))
}

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn short_options_become_sets_and_a_later_set_wins() -> Result<(), clap::Error> {
    let cli = Cli::try_parse_from([
        "rehearsal",
        "run",
        "--data",
        "my \"data\"",
        "--strict",
        "--set",
        "seed=4",
        "--seed",
        "3",
    ])?;
    assert_eq!(cli.common.sets(), ["data.path='my \"data\"'", "data.strict=true", "seed=3", "seed=4"]);
    Ok(())
}

#[test]
fn a_dataset_to_inspect_may_be_named_as_everywhere() -> Result<(), clap::Error> {
    for line in ["rehearsal inspect d", "rehearsal inspect --data d"] {
        let cli = Cli::try_parse_from(line.split_whitespace())?;
        let Verb::Inspect { path, .. } = cli.verb else { panic!("{line}: another verb") };
        assert_eq!(path.or(cli.common.data), Some(PathBuf::from("d")), "{line}");
    }
    assert!(words("rehearsal inspect d --data e").contains("cannot be used with"), "one of the two");
    Ok(())
}

#[test]
fn a_choice_of_episodes_wants_a_recording() {
    assert!(words("rehearsal inspect d --episodes 0").contains("--rrd <FILE.rrd>"));
}

#[test]
fn a_wrong_command_line_is_one_sentence() {
    assert_eq!(
        words("rehearsal inspct x"),
        "unrecognized subcommand 'inspct'; a similar subcommand exists: 'inspect' (see rehearsal --help)"
    );
    assert_eq!(
        words("rehearsal inspect"),
        "the following required arguments were not provided: <PATH> (see rehearsal inspect --help)"
    );
    assert_eq!(words("rehearsal demo --minutes -3"), "unexpected argument '-3' found (see rehearsal demo --help)");
    assert_eq!(
        words("rehearsal demo --minutes=0"),
        "invalid value '0' for '--minutes <M>': expected a number of minutes above zero (see rehearsal demo --help)"
    );
    assert_eq!(
        words("rehearsal branch r --episode 1 --step 2 --arms logged,scaled:x"),
        "invalid value 'scaled:x' for '--arms <ARMS>': 'x' is no factor; expected logged, cloned, improved, \
         cloned:K, improved:K, scaled:FACTOR, hold or file:PATH (see rehearsal branch --help)"
    );
}
