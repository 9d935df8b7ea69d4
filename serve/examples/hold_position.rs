//! A policy server that tells every robot to stay where it is: the smallest complete use of this crate.
//!
//! `cargo run --release -p serve --example hold_position -- [PORT] [HORIZON]` answers with HORIZON times the
//! vector `observation.state` of the request, until Ctrl-C.

use std::sync::atomic::AtomicBool;

use serve::{Observation, Options, Reply, Server};

#[expect(clippy::print_stdout, reason = "the example says where it listens")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(8000), |port| port.parse())?;
    let horizon = arguments.next().map_or(Ok(8), |horizon| horizon.parse())?;
    let metadata = serde_json::json!({"policy": "hold_position", "horizon": horizon});
    let server = Server::bind(&Options { port, metadata, ..Options::default() })?;
    println!("listening on ws://{}", server.local_addr());
    server.run(&AtomicBool::new(false), &|observation: &Observation| hold(observation, horizon))?;
    Ok(())
}

fn hold(observation: &Observation, horizon: usize) -> Result<Reply, String> {
    let state = observation.vectors.get("observation.state").ok_or_else(|| {
        let found: Vec<&str> = observation.vectors.keys().map(String::as_str).collect();
        format!("expected the vector \"observation.state\", found {found:?}")
    })?;
    Ok(Reply { actions: state.repeat(horizon), horizon, action_len: state.len(), ..Reply::default() })
}
