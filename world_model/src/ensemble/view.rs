//! How an ensemble sees its data: wide elements through symlog, changes and rewards in their own standard deviations.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::corpus::{Corpus, Embeddings};

/// Statistics of what is learned from; fitted once, never trained.
#[derive(Module, Debug)]
pub struct View {
    /// 1 for elements seen through symlog `[E]`.
    wide: Param<Tensor<1>>,
    /// Mean of (change, reward) `[E+1]`; 0 for the changes.
    centre: Param<Tensor<1>>,
    /// Standard deviation of (change, reward) `[E+1]`; 0 for what is carried along and never changes.
    scale: Param<Tensor<1>>,
    /// Smallest and largest element seen, with a margin `[E]` each.
    low: Param<Tensor<1>>,
    high: Param<Tensor<1>>,
}

/// Smallest scale of a change, in standard deviations of the element: what changes less is a constant to the last bits.
const LEAST_SCALE: f32 = 1e-3;

/// Bound of elements that have none: its square is a float, too, by which checkpoints tell that all parameters are sound.
const UNBOUNDED: f32 = 1e12;

/// How far beyond the recorded range, as a share of it, an element may be imagined.
const MARGIN: f32 = 0.1;

/// Changes of a step beyond the recorded range that are as far as any more.
const FAR: f32 = 3.0;

fn fixed(values: Vec<f32>, device: &Device) -> Param<Tensor<1>> {
    let len = values.len();
    Param::from_tensor(Tensor::from_data(TensorData::new(values, [len]), device)).set_require_grad(false)
}

/// `sign(x) ln(1 + |x|)` (DreamerV3, eq. 9).
fn symlog<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone().sign() * (x.abs() + 1.0).log()
}

/// The way back. Beyond 20 it stays at e^20: what is masked away afterwards must not be infinite.
fn symexp<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone().sign() * (x.abs().clamp_max(20.0).exp() - 1.0)
}

impl View {
    /// Everything as it is, for embeddings of `embedding` elements, the last `carried` of which never change.
    pub fn plain((embedding, carried): (usize, usize), device: &Device) -> Self {
        let mut scale = vec![1.0; embedding + 1];
        scale[embedding - carried..embedding].fill(0.0);
        Self {
            wide: fixed(vec![0.0; embedding], device),
            centre: fixed(vec![0.0; embedding + 1], device),
            scale: fixed(scale, device),
            low: fixed(vec![-UNBOUNDED; embedding], device),
            high: fixed(vec![UNBOUNDED; embedding], device),
        }
    }

    /// Elements recorded within these bounds, whose changes in a step have this size.
    #[cfg(test)]
    pub fn recorded_within(bounds: &[[f32; 2]], change: f32, device: &Device) -> Self {
        let edge =
            |side: usize, sign: f32| bounds.iter().map(|b| b[side] + sign * MARGIN * (b[1] - b[0])).collect::<Vec<_>>();
        let mut scale = vec![change; bounds.len()];
        scale.push(1.0);
        Self {
            low: fixed(edge(0, -1.0), device),
            high: fixed(edge(1, 1.0), device),
            scale: fixed(scale, device),
            ..Self::plain((bounds.len(), 0), device)
        }
    }

    /// Fitted to the given tracks. Elements whose largest value is beyond `limit` standard deviations are wide (0: none);
    /// the last `carried` never change, and may be such as were not recorded.
    pub fn fit(
        data: (&Corpus, &Embeddings),
        tracks: &[usize],
        (limit, carried): (f32, usize),
        device: &Device,
    ) -> Self {
        let (corpus, embeddings) = data;
        let width = embeddings.dim;
        let each = || tracks.iter().flat_map(|&track| embeddings.rows[track].chunks_exact(width));
        let (mut low, mut high) = (vec![f32::MAX; width], vec![f32::MIN; width]);
        for row in each() {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(row) {
                (*low, *high) = (low.min(x), high.max(x));
            }
        }
        let told = width - carried;
        let mut wide: Vec<bool> =
            low.iter().zip(&high).map(|(low, high)| limit > 0.0 && low.abs().max(high.abs()) > limit).collect();
        wide[told..].fill(false);
        let squash = |x: f32, wide: bool| if wide { x.signum() * x.abs().ln_1p() } else { x };
        let mut changes = vec![Moments::default(); width];
        let mut rewards = Moments::default();
        for &track in tracks {
            let rows: Vec<&[f32]> = embeddings.rows[track].chunks_exact(width).collect();
            for pair in rows.windows(2) {
                for (i, moments) in changes.iter_mut().enumerate() {
                    moments.add(squash(pair[1][i], wide[i]) - squash(pair[0][i], wide[i]));
                }
            }
            corpus.tracks[track].reward.iter().for_each(|&reward| rewards.add(reward));
        }
        let mut centre = vec![0.0; width];
        // Changes are divided, not moved: to stay where one is remains no change.
        let mut scale: Vec<f32> = changes.iter().map(|m| m.root_mean_square().max(LEAST_SCALE)).collect();
        scale[told..].fill(0.0);
        let deviation = rewards.deviation();
        centre.push(rewards.mean());
        scale.push(if deviation > 1e-6 { deviation } else { 1.0 });
        for ((low, high), wide) in low.iter_mut().zip(&mut high).zip(&wide) {
            let (least, most) = (squash(*low, *wide), squash(*high, *wide));
            let margin = MARGIN * (most - least).max(LEAST_SCALE);
            (*low, *high) = (least - margin, most + margin);
        }
        low[told..].fill(-UNBOUNDED);
        high[told..].fill(UNBOUNDED);
        Self {
            wide: fixed(wide.into_iter().map(|wide| f32::from(u8::from(wide))).collect(), device),
            centre: fixed(centre, device),
            scale: fixed(scale, device),
            low: fixed(low, device),
            high: fixed(high, device),
        }
    }

    /// Nothing is wide: what is seen is the embedding itself.
    pub fn is_plain(&self) -> bool {
        self.wide.val().sum().into_scalar::<f32>() == 0.0
    }

    /// Embeddings `[.., E]` as they are seen.
    pub fn squash<const D: usize>(&self, e: Tensor<D>) -> Tensor<D> {
        e.clone() + (symlog(e.clone()) - e) * self.wide.val().unsqueeze::<D>()
    }

    /// The way back.
    pub fn stretch<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        x.clone() + (symexp(x.clone()) - x) * self.wide.val().unsqueeze::<D>()
    }

    /// How much an embedding `[.., E]` moves per change of what is seen of it.
    pub fn slope<const D: usize>(&self, e: Tensor<D>) -> Tensor<D> {
        e.abs() * self.wide.val().unsqueeze::<D>() + 1.0
    }

    /// Changes and rewards `[.., E+1]` in their own standard deviations.
    pub fn scaled<const D: usize>(&self, target: Tensor<D>) -> Tensor<D> {
        let scale = self.scale.val();
        // A change of 0 in units of 0 is none.
        let scale = scale.clone() + scale.equal_elem(0.0).float();
        (target - self.centre.val().unsqueeze::<D>()) / scale.unsqueeze::<D>()
    }

    /// 1 for elements that change, 0 for those that are carried along `[E]`.
    pub fn moves(&self) -> Tensor<1> {
        let scale = self.scale.val();
        let told = scale.dims()[0] - 1;
        scale.narrow(0, 0, told).not_equal_elem(0.0).float()
    }

    /// Deviations of changes and rewards `[.., E+1]` back in the units of what is seen.
    pub fn spread<const D: usize>(&self, deviation: Tensor<D>) -> Tensor<D> {
        deviation * self.scale.val().unsqueeze::<D>()
    }

    /// The way back from [`Self::scaled`].
    pub fn unscaled<const D: usize>(&self, target: Tensor<D>) -> Tensor<D> {
        self.spread(target) + self.centre.val().unsqueeze::<D>()
    }

    /// Scaled rewards `[B, 1]` in units of the reward.
    pub fn reward(&self, scaled: Tensor<2>) -> Tensor<2> {
        let last = |x: Tensor<1>| x.clone().narrow(0, x.dims()[0] - 1, 1).unsqueeze::<2>();
        scaled * last(self.scale.val()) + last(self.centre.val())
    }

    /// Scaled changes `[.., E]` in the units of what is seen.
    pub fn moved<const D: usize>(&self, change: Tensor<D>) -> Tensor<D> {
        let [.., width] = change.dims()[..] else { return change };
        change * self.scale.val().narrow(0, 0, width).unsqueeze::<D>()
    }

    /// The way back from [`Self::moved`].
    pub fn in_changes<const D: usize>(&self, change: Tensor<D>) -> Tensor<D> {
        let [.., width] = change.dims()[..] else { return change };
        let scale = self.scale.val().narrow(0, 0, width);
        let scale = scale.clone() + scale.equal_elem(0.0).float();
        change / scale.unsqueeze::<D>()
    }

    /// What is seen `[.., E]`, no further than a margin beyond what was recorded.
    pub fn held<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        x.max_pair(self.low.val().unsqueeze::<D>()).min_pair(self.high.val().unsqueeze::<D>())
    }

    /// How far what is seen `[N, E]` lies above and below everything recorded, in typical changes of a step `[N, 2E]`; no further than
    /// [`FAR`], and 0 for what is carried along.
    pub fn beyond(&self, x: Tensor<2>) -> Tensor<2> {
        let (low, high) = (self.low.val(), self.high.val());
        // The margin is a share of the recorded range on either side.
        let margin = (high.clone() - low.clone()) * f64::from(MARGIN / (1.0 + 2.0 * MARGIN));
        let [above, below] =
            [x.clone() - (high - margin.clone()).unsqueeze::<2>(), (low + margin).unsqueeze::<2>() - x];
        let told = |beyond: Tensor<2>| self.in_changes(beyond.clamp_min(0.0)).clamp_max(FAR);
        Tensor::cat(vec![told(above), told(below)], 1)
    }
}

/// Sums of which mean and deviation are made.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, x: f32) {
        let x = f64::from(x);
        (self.count, self.sum, self.squares) = (self.count + 1.0, self.sum + x, self.squares + x * x);
    }

    fn mean(&self) -> f32 {
        (self.sum / self.count.max(1.0)) as f32
    }

    fn root_mean_square(&self) -> f32 {
        (self.squares / self.count.max(1.0)).sqrt() as f32
    }

    fn deviation(&self) -> f32 {
        let count = self.count.max(1.0);
        (self.squares / count - (self.sum / count).powi(2)).max(0.0).sqrt() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::floats;

    fn view() -> View {
        let device = Device::default();
        View { wide: fixed(vec![0.0, 1.0], &device), ..View::plain((2, 0), &device) }
    }

    #[test]
    fn beyond_is_told_in_changes_of_a_step_and_on_either_side() {
        let device = Device::default();
        let view = View {
            // Recorded from 0 to 10 and from -1 to 1, a tenth of which was added on either side.
            low: fixed(vec![-1.0, -1.2], &device),
            high: fixed(vec![11.0, 1.2], &device),
            scale: fixed(vec![0.5, 0.0, 1.0], &device),
            ..View::plain((2, 1), &device)
        };
        let x = Tensor::<2>::from_floats([[10.25, 0.0], [-100.0, 0.5], [10.0, 1.0], [4.0, -1.0]], &device);
        let expected = [[0.5, 0.0, 0.0, 0.0], [0.0, 0.0, FAR, 0.0], [0.0; 4], [0.0; 4]].concat();
        for (beyond, expected) in floats(view.beyond(x)).iter().zip(expected) {
            assert!((beyond - expected).abs() < 1e-5, "{beyond} is not {expected}");
        }
        let anywhere = Tensor::<2>::from_floats([[1e6, -1e6]], &device);
        assert_eq!(floats(View::plain((2, 0), &device).beyond(anywhere)), [0.0; 4], "nothing is known of a range");
    }

    #[test]
    fn wide_elements_go_through_symlog_and_back_and_the_others_stay() {
        let device = Device::default();
        let e = Tensor::<2>::from_floats([[3.0, 3.0], [-50.0, -50.0], [200.0, 0.0]], &device);
        let x = view().squash(e.clone());
        // ln 4 and -ln 51.
        for (x, expected) in floats(x.clone()).iter().zip([3.0, 1.386_294_4, -50.0, -3.931_825_6, 200.0, 0.0]) {
            assert!((x - expected).abs() < 1e-5, "{x} is not {expected}");
        }
        assert!(!view().is_plain() && View::plain((2, 0), &device).is_plain());
        for (back, e) in floats(view().stretch(x)).iter().zip(floats(e.clone())) {
            assert!((back - e).abs() < 1e-3, "{back} is not {e}");
        }
        assert_eq!(floats(view().slope(e)), [1.0, 4.0, 1.0, 51.0, 1.0, 1.0]);
    }

    #[test]
    fn changes_and_rewards_are_scaled_and_nothing_goes_far_beyond_the_record() {
        let device = Device::default();
        let view = View {
            centre: fixed(vec![0.0, 0.0, 5.0], &device),
            scale: fixed(vec![0.1, 2.0, 4.0], &device),
            low: fixed(vec![-1.0, -1.0], &device),
            high: fixed(vec![1.0, 1.0], &device),
            ..View::plain((2, 0), &device)
        };
        let target = Tensor::<2>::from_floats([[0.2, -2.0, 9.0]], &device);
        let scaled = view.scaled(target.clone());
        for (x, expected) in floats(scaled.clone()).iter().zip([2.0, -1.0, 1.0]) {
            assert!((x - expected).abs() < 1e-6, "{x} is not {expected}");
        }
        assert_eq!(floats(view.unscaled(scaled)), floats(target));
        assert_eq!(floats(view.moved(Tensor::<2>::from_floats([[1.0, 1.0]], &device))), [0.1, 2.0]);
        assert_eq!(floats(view.held(Tensor::<2>::from_floats([[-3.0, 0.5]], &device))), [-1.0, 0.5]);
    }

    #[test]
    fn bounds_that_are_none_are_sound_parameters() {
        assert!(crate::optimise::is_finite(&View::plain((4, 3), &Device::default())));
    }

    #[test]
    fn moments_by_hand() {
        let mut moments = Moments::default();
        [1.0, 3.0].into_iter().for_each(|x| moments.add(x));
        assert_eq!((moments.mean(), moments.deviation()), (2.0, 1.0));
        assert!((moments.root_mean_square() - 5f32.sqrt()).abs() < 1e-6);
    }
}
