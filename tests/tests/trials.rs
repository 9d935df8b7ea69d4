//! The hardware stage on the embedded robot, where real trials cost nothing: how many pairs it takes, and what imagination saves.

#![expect(clippy::print_stdout, reason = "its numbers are what it is run for")]

use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use policy::{Bundle, Memory};
use rand::RngExt;
use rl::betting::{Says, verdict};
use rl::trials::{ALPHA, controlled};
use sim::{SimConfig, episode_seed, run_policy};
use world_model::agreement::{mean, pearson};
use world_model::noise;

type Error = Box<dyn std::error::Error>;

/// Trials of each policy from each start, among which the series draw.
const TRIALS: u64 = 8;

const SERIES: usize = 400;

const MOST_PAIRS: usize = 200;

fn json(path: &Path) -> Result<serde_json::Value, Error> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Successes of a policy from the starts of recorded episodes: the embedded robot can be set up as it was.
fn driven(
    run: &Path,
    policy: &str,
    (config, chunk): (&SimConfig, Duration),
    seed: u64,
    starts: &[u64],
) -> Result<Vec<Vec<f64>>, Error> {
    let bundle = Bundle::load(&run.join("bundle"), policy, &Device::default())?;
    let from = |&start: &u64| {
        let trial = |k: u64| {
            let (mut memory, mut now) = (Memory::default(), Instant::now());
            let mut rng = noise::generator(seed, "trial", k);
            let result = run_policy(config, episode_seed(seed, start), &mut |state, image| {
                let seen: (&[&[u8]], &[f32], _) = (&[image], state, None);
                // The simulator's observations fit the bundle, which was trained on them.
                let actions = bundle.act_after(&mut memory, seen, &mut rng, now).unwrap_or_default();
                now += chunk;
                actions.chunks_exact(2).map(|a| [a[0], a[1]]).collect()
            });
            f64::from(u8::from(result.success))
        };
        (0..TRIALS).map(trial).collect()
    };
    Ok(starts.iter().map(from).collect())
}

#[test]
#[ignore = "drives the demo named by REHEARSAL_RUN, for which `rehearsal trial` has made a plan; minutes"]
fn trials_of_the_demo_end_in_the_right_verdict() -> Result<(), Error> {
    let run = std::env::var("REHEARSAL_RUN")?;
    let run = Path::new(&run);
    let (report, plan) = (json(&run.join("report.json"))?, json(&run.join("trials/plan.json"))?);
    let config: SimConfig = serde_json::from_value(report["config"]["demo"]["sim"].clone())?;
    let rate_hz = json(&run.join("bundle/bundle.json"))?["dataset"]["control_rate_hz"].as_f64().ok_or("no rate")?;
    let execute = report["config"]["policy"]["execute"].as_f64().ok_or("no chunk")?;
    let chunk = Duration::from_secs_f64(execute / rate_hz);
    let seed = report["seed"].as_u64().ok_or("no seed")?;
    let starts = plan["starts"].as_array().ok_or("no starts")?;
    let episodes: Vec<u64> = starts.iter().filter_map(|s| s["episode"].as_u64()).collect();
    let imagined = |side: &str| starts.iter().filter_map(|s| s[side]["success"].as_f64()).collect::<Vec<f64>>();
    let gains: Vec<f64> = imagined("to").iter().zip(imagined("from")).map(|(to, from)| to - from).collect();
    let [old, new] = ["cloned", "improved"].map(|policy| driven(run, policy, (&config, chunk), seed, &episodes));
    let (old, new) = (old?, new?);
    let rates = |of: &[Vec<f64>]| of.iter().map(|trials| mean(trials.iter().copied())).collect::<Vec<f64>>();
    let true_gains: Vec<f64> = rates(&new).iter().zip(rates(&old)).map(|(new, old)| new - old).collect();
    for (name, side, of) in [("cloned", "from", &old), ("improved", "to", &new)] {
        let (truth, r) = (mean(rates(of).into_iter()), pearson(&rates(of), &imagined(side)));
        println!(
            "{name}: success {truth:.3} in truth, imagined {:.3}, r over starts {r:.2?}",
            mean(imagined(side).into_iter())
        );
    }
    println!(
        "gains: {:.3} in truth, r over starts {:.2?}",
        mean(true_gains.iter().copied()),
        pearson(&true_gains, &gains)
    );
    for (words, all, swapped) in [
        ("by the trials alone", Vec::new(), false),
        ("helped by imagination", gains.clone(), false),
        ("the clone as the new one", Vec::new(), true),
    ] {
        let mut rng = noise::generator(seed, "trial-series", 0);
        let (mut after, mut said) = (Vec::new(), [0usize; 3]);
        for _ in 0..SERIES {
            let drawn: Vec<usize> = (0..MOST_PAIRS).map(|_| rng.random_range(0..episodes.len())).collect();
            let mut one = |of: &[Vec<f64>], start: usize| of[start][rng.random_range(0..TRIALS as usize)];
            let gain =
                drawn.iter().map(|&s| if swapped { one(&old, s) - one(&new, s) } else { one(&new, s) - one(&old, s) });
            let outcomes: Vec<f64> = gain.collect();
            let predicted: Vec<f64> = drawn.iter().filter_map(|&s| all.get(s).copied()).collect();
            let verdict = verdict(&controlled(&outcomes, &predicted, &all, [-1.0, 1.0]), ALPHA);
            after.push(verdict.after.unwrap_or(MOST_PAIRS + 1));
            said[match verdict.decision {
                Says::Go => 0,
                Says::NoGo => 1,
                Says::Continue => 2,
            }] += 1;
        }
        after.sort_unstable();
        let average = mean(after.iter().map(|&n| n as f64));
        println!(
            "{words}: GO, NO-GO, neither {said:?} of {SERIES}; pairs {average:.1} on average, {} in half, {} in four of five",
            after[SERIES / 2],
            after[SERIES * 4 / 5]
        );
        // The demo's improvement is large: the wrong verdict is one in twenty at most, and some verdict is there.
        let (right, wrong) = if swapped { (said[1], said[0]) } else { (said[0], said[1]) };
        assert!(wrong * 20 <= SERIES && right * 10 >= SERIES * 9, "{words}: {said:?}");
    }
    Ok(())
}
