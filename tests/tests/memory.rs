//! Training holds its memory: what an update makes, it gives back.

use burn::tensor::{Device, Tensor};
use world_model::layers::Mlp;
use world_model::noise;
use world_model::optimise::Trainee;
use world_model::rssm::{Rssm, RssmConfig};

/// Resident memory now, MB (10^6 bytes); `None` where the system does not say.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib * 1024.0 / 1e6)
}

/// 2,000 updates of a small perceptron and, beside it in the same shards, imagination by a small rssm.
#[test]
fn two_thousand_updates_do_not_grow_memory() {
    let device = Device::default().autodiff();
    device.seed(0);
    let inner = device.clone().inner();
    let sizes = RssmConfig { hidden: 16, groups: 2, classes: 4, width: 16, ..RssmConfig::default() };
    let model = Rssm::new(&sizes, 8, 2, 2, &inner);
    let mut trainee = Trainee::new(Mlp::new(&[8, 64, 64, 8], &device), 1e-4);
    let mut after_warm_up = None;
    for update in 0..2_000 {
        let mut rng = noise::generator(0, "memory", update);
        let shards = (0..2)
            .map(|_| {
                let e = noise::normal([32, 8], &mut rng, &inner);
                let latent = model.start(e.clone(), noise::gumbel([32, model.noise_len()], &mut rng, &inner));
                let action = noise::normal([32, 2], &mut rng, &inner);
                let noise = noise::gumbel([32, model.noise_len()], &mut rng, &inner);
                let next = model.imagine(&latent, action, noise).0.e;
                [e, next].map(Tensor::from_inner)
            })
            .collect();
        let metrics = trainee
            .update(1e-3, shards, &device, |net, [e, next]| ((net.forward(e) - next).square().mean(), Vec::new()));
        assert!(metrics[0].1.is_finite(), "the loss became {} at update {update}", metrics[0].1);
        if update == 200 {
            after_warm_up = resident_mb();
        }
    }
    let (Some(before), Some(after)) = (after_warm_up, resident_mb()) else {
        return;
    };
    // A batch, its graph and gradients are about half a megabyte: a leak of a hundredth of it would show.
    assert!(after - before < 8.0, "resident memory grew from {before:.1} MB to {after:.1} MB in 1,800 updates");
}
