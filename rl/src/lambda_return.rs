//! λ-returns of recorded steps (Sutton and Barto 2018, sec. 12.1), cut after `n` steps:
//! ```text
//! G_i = (1-γ) r_i + γ [(1-λ) V(e_{i+1}) + λ G_{i+1}],   G_{t+n} = V(e_{t+n})
//! ```
//! up to the end of the episode: a success or another end holds what the rule says for ever, and where an episode was cut off its last
//! observation is worth its value. With λ = 1 it is the n-step return of [`crate::critic::n_step_target`], with λ = 0 the one-step target.

use burn::tensor::Tensor;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings};

/// The window and λ.
#[derive(Clone, Copy, Debug)]
pub struct LambdaReturn {
    /// Steps `n` after which a return is cut.
    pub n_step: usize,
    /// λ.
    pub lambda: f32,
}

impl LambdaReturn {
    /// Returns `[B]` of (track, step) pairs; `value` maps embeddings `[N, E]` to values `[N]` without gradients.
    pub fn of(
        self,
        (corpus, embeddings): (&Corpus, &Embeddings),
        at: &[(usize, usize)],
        value: impl Fn(&Tensor<2>) -> Tensor<1>,
        device: &burn::tensor::Device,
    ) -> Vec<f32> {
        let window = |&(track, t): &(usize, usize)| t..=(t + self.n_step).min(corpus.tracks[track].len - 1);
        let all: Vec<(usize, usize)> = at.iter().flat_map(|pair| window(pair).map(|i| (pair.0, i))).collect();
        let values = floats(value(&embeddings.gather(&all, device)));
        let mut from = 0;
        at.iter()
            .map(|pair| {
                let len = window(pair).count();
                from += len;
                self.of_window(corpus, *pair, &values[from - len..from])
            })
            .collect()
    }

    /// The return of step `t`, where `values` are those of the states from `t` on.
    fn of_window(self, corpus: &Corpus, (track, t): (usize, usize), values: &[f32]) -> f32 {
        let (rule, track) = (&corpus.returns, &corpus.tracks[track]);
        let last = values.len() - 1;
        let mut ahead = values[last];
        if t + last + 1 == track.len && last < self.n_step {
            let i = t + last;
            if track.success || track.terminated {
                let held = rule.held(track.success, track.terminated, 0.0);
                ahead = (1.0 - rule.gamma) * track.reward[i] + rule.gamma * held;
            }
        }
        for k in (0..last).rev() {
            let behind = (1.0 - self.lambda) * values[k + 1] + self.lambda * ahead;
            ahead = (1.0 - rule.gamma) * track.reward[t + k] + rule.gamma * behind;
        }
        ahead
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::critic::n_step_target;
    use crate::toys::{self, Ending};

    /// A state's first element times 0.3 and a half: any values will do.
    fn value(e: &Tensor<2>) -> Tensor<1> {
        e.clone().narrow(1, 0, 1).squeeze_dim::<1>(1) * 0.3 + 0.5
    }

    #[test]
    fn with_lambda_1_it_is_the_n_step_return_and_with_0_the_one_step_target() {
        let data = toys::corpus(&[(-1.0, Ending::Failure), (1.0, Ending::CutOff), (0.5, Ending::Success)]);
        let (corpus, embeddings) = (&data.0, &data.1);
        let at: Vec<(usize, usize)> = (0..3).flat_map(|track| (0..4).map(move |t| (track, t))).collect();
        for n_step in [1, 2, 3, 10] {
            for (lambda, n) in [(1.0, n_step), (0.0, 1)] {
                let found = LambdaReturn { n_step, lambda }.of((corpus, embeddings), &at, value, &Device::default());
                for (&(track, t), found) in at.iter().zip(found) {
                    let (sum, discount, end) = n_step_target(corpus, track, t, n);
                    let v = floats(value(&embeddings.gather(&[(track, end)], &Device::default())))[0];
                    let expected = sum + discount * v;
                    assert!(
                        (found - expected).abs() < 1e-6,
                        "{track} {t} {n_step} {lambda}: {found} is not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn in_between_it_is_the_mixture_of_all_n_step_returns() {
        let data = toys::corpus(&[(-1.0, Ending::Failure), (1.0, Ending::CutOff)]);
        let (corpus, embeddings) = (&data.0, &data.1);
        let (lambda, n_step) = (0.7f32, 3);
        let found =
            LambdaReturn { n_step, lambda }.of((corpus, embeddings), &[(1, 0), (0, 0)], value, &Device::default());
        for (track, found) in [(1, found[0]), (0, found[1])] {
            let of = |n: usize| {
                let (sum, discount, end) = n_step_target(corpus, track, 0, n);
                sum + discount * floats(value(&embeddings.gather(&[(track, end)], &Device::default())))[0]
            };
            let expected = (1.0 - lambda) * (of(1) + lambda * of(2)) + lambda * lambda * of(3);
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }
}
