//! Pictures to H.264 through openh264: a constant quantiser and short groups of pictures, encoded in parallel.
//!
//! Which settings, and what they cost, is measured in docs/adr/0008.

use std::io;
use std::path::Path;

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, FrameRate, FrameType, Profile, QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::YUVSlices;
use rayon::prelude::*;
use yuv::{YuvChromaSubsampling, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, rgb_to_yuv420};

use super::About;
use super::mux;

/// Quantiser of every picture: near to visually lossless.
const QUANTISER: u8 = 18;

/// A keyframe every so many pictures, as LeRobot's own: whoever trains on it reads single pictures, in any order.
const KEYFRAME_EVERY: usize = 2;

/// Pictures that one encoder takes at a time: whole groups of pictures, little enough to keep every core busy.
const PICTURES_PER_ENCODER: usize = 2 * KEYFRAME_EVERY;

/// Heights and widths that 4:2:0 and the encoder can hold, as said in reasons.
const SIZES: &str = "H.264 takes even heights and widths from 16 to 3840 by 2160";

/// One coded picture: NAL units, each after its length in four bytes.
pub(super) struct Coded {
    pub(super) bytes: Vec<u8>,
    pub(super) is_key: bool,
}

/// One episode of one camera as H.264, in memory.
pub(crate) struct Film {
    encoders: Vec<Encoder>,
    rate_hz: f64,
    /// Sequence and picture parameter set.
    pub(super) parameter_sets: Option<[Vec<u8>; 2]>,
    pub(super) pictures: Vec<Coded>,
}

impl std::fmt::Debug for Film {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Film").field("pictures", &self.pictures.len()).finish_non_exhaustive()
    }
}

impl Film {
    /// What is written, in LeRobot's words.
    pub(crate) const ABOUT: About = About { codec: "h264", pix_fmt: Some("yuv420p") };

    /// Whether pictures of this size can become H.264 without being cut or padded.
    pub(crate) fn takes(height: usize, width: usize) -> bool {
        let (small, large) = (height.min(width), height.max(width));
        height.is_multiple_of(2) && width.is_multiple_of(2) && (16..=2160).contains(&small) && large <= 3840
    }

    /// No pictures yet.
    pub(crate) fn new(rate_hz: f64) -> Film {
        Film { encoders: Vec::new(), rate_hz, parameter_sets: None, pictures: Vec::new() }
    }

    /// Number of pictures.
    pub(crate) fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Adds RGB pictures `[height, width, 3]`, all of one size and, except for the last call, an even number of them:
    /// two keyframes must not follow each other.
    pub(crate) fn extend(&mut self, pictures: &[Vec<u8>], height: usize, width: usize) -> Result<(), String> {
        if !Film::takes(height, width) {
            return Err(format!("pictures of {height}x{width} pixels cannot be encoded ({SIZES})"));
        }
        let parts = pictures.len().div_ceil(PICTURES_PER_ENCODER);
        while self.encoders.len() < parts {
            self.encoders.push(encoder(self.rate_hz).map_err(|e| format!("the H.264 encoder does not start ({e})"))?);
        }
        let done: Result<Vec<Part>, String> = pictures
            .par_chunks(PICTURES_PER_ENCODER)
            .zip(&mut self.encoders)
            .map(|(pictures, encoder)| encode(encoder, pictures, height, width))
            .collect();
        for part in done? {
            if *self.parameter_sets.get_or_insert_with(|| part.parameter_sets.clone()) != part.parameter_sets {
                return Err("the H.264 encoders do not agree on their parameters".to_owned());
            }
            self.pictures.extend(part.pictures);
        }
        Ok(())
    }

    /// Writes an mp4 file whose picture `k` is shown at `k` divided by the rate.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        mux::write(self, self.rate_hz, path)
    }
}

/// What one encoder gave.
struct Part {
    parameter_sets: [Vec<u8>; 2],
    pictures: Vec<Coded>,
}

fn encoder(rate_hz: f64) -> Result<Encoder, openh264::Error> {
    let config = EncoderConfig::new()
        // Of the modes that keep to a given quantiser the only one that never drops a picture.
        .rate_control_mode(RateControlMode::Bufferbased)
        .qp(QpRange::new(QUANTISER, QUANTISER))
        .skip_frames(false)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .bitrate(BitRate::from_bps(5_000_000))
        .max_frame_rate(FrameRate::from_hz(rate_hz.clamp(1.0, 60.0) as f32))
        .num_threads(1)
        .profile(Profile::High)
        // What decoders take for granted where nothing is said; players take other colours for granted in large videos.
        .vui(VuiConfig::bt601());
    Encoder::with_api_config(OpenH264API::from_source(), config)
}

fn encode(encoder: &mut Encoder, pictures: &[Vec<u8>], height: usize, width: usize) -> Result<Part, String> {
    let mut part = Part { parameter_sets: Default::default(), pictures: Vec::with_capacity(pictures.len()) };
    let mut planes = YuvPlanarImageMut::alloc(width as u32, height as u32, YuvChromaSubsampling::Yuv420);
    for (i, rgb) in pictures.iter().enumerate() {
        rgb_to_yuv420(
            &mut planes,
            rgb,
            (width * 3) as u32,
            YuvRange::Limited,
            YuvStandardMatrix::Bt601,
            YuvConversionMode::Balanced,
        )
        .map_err(|e| e.to_string())?;
        let strides = [planes.y_stride, planes.u_stride, planes.v_stride].map(|stride| stride as usize);
        let yuv = (planes.y_plane.borrow(), planes.u_plane.borrow(), planes.v_plane.borrow());
        let is_key = i % KEYFRAME_EVERY == 0;
        if is_key {
            encoder.force_intra_frame();
        }
        let source = YUVSlices::new(yuv, (width, height), strides.into());
        let coded = encoder.encode(&source).map_err(|e| format!("a picture cannot be encoded as H.264 ({e})"))?;
        let kind = coded.frame_type();
        if matches!(kind, FrameType::IDR) != is_key || matches!(kind, FrameType::Skip | FrameType::Invalid) {
            return Err(format!("a picture cannot be encoded as H.264 (it became a frame of kind {kind:?})"));
        }
        let mut bytes = Vec::new();
        let layers = (0..coded.num_layers()).filter_map(|i| coded.layer(i));
        for nal in
            layers.flat_map(|layer| (0..layer.nal_count()).filter_map(move |i| layer.nal_unit(i).map(<[u8]>::to_vec)))
        {
            let nal = nal.strip_prefix(&[0, 0, 0, 1]).or(nal.strip_prefix(&[0, 0, 1])).unwrap_or(&nal);
            match nal.first().map(|header| header & 31) {
                Some(SEQUENCE_PARAMETERS) => part.parameter_sets[0] = nal.to_vec(),
                Some(PICTURE_PARAMETERS) => part.parameter_sets[1] = nal.to_vec(),
                _ => {
                    bytes.extend_from_slice(&(nal.len() as u32).to_be_bytes());
                    bytes.extend_from_slice(nal);
                }
            }
        }
        part.pictures.push(Coded { bytes, is_key });
    }
    Ok(part)
}

/// Kinds of NAL units that go into the header of the file.
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::{Video, match_times};

    const HEIGHT: usize = 48;
    const WIDTH: usize = 64;

    /// A bright disc that moves over a soft gradient, and its mean squared error against what comes back.
    fn picture(k: usize) -> Vec<u8> {
        let (x, y) = (8.0 + 2.0 * k as f64, 24.0 + 10.0 * (0.4 * k as f64).sin());
        let mut rgb = Vec::with_capacity(HEIGHT * WIDTH * 3);
        for row in 0..HEIGHT {
            for column in 0..WIDTH {
                let distance = ((column as f64 - x).powi(2) + (row as f64 - y).powi(2)).sqrt();
                let share = (8.0 - distance).clamp(0.0, 1.0);
                let ground = [60.0 + 2.0 * column as f64, 90.0, 40.0 + 3.0 * row as f64];
                for (value, disc) in ground.iter().zip([220.0, 210.0, 200.0]) {
                    rgb.push((share * disc + (1.0 - share) * value).round() as u8);
                }
            }
        }
        rgb
    }

    fn film(n: usize, rate_hz: f64) -> Film {
        let mut film = Film::new(rate_hz);
        let pictures: Vec<Vec<u8>> = (0..n).map(picture).collect();
        pictures.chunks(10).for_each(|batch| film.extend(batch, HEIGHT, WIDTH).expect("pictures of this size"));
        film
    }

    fn psnr(a: &[u8], b: &[u8]) -> f64 {
        let squares: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares.max(1e-9)).log10()
    }

    #[test]
    fn a_moving_picture_comes_back_nearly_as_it_was() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // An odd number of pictures, and rates whose steps are no whole number of milliseconds.
        for rate_hz in [10.0, 30.0, 100.0 / 3.0] {
            let path = dir.path().join("film.mp4");
            film(27, rate_hz).write(&path).expect("writable");
            let video = Video::open(&path).expect("an mp4 file");
            for (k, time_s) in video.times_s().iter().enumerate() {
                assert!((time_s - k as f64 / rate_hz).abs() < 1e-6, "picture {k} at {time_s} s");
            }
            let all = match_times(video.times_s(), 0.0, rate_hz, 27).expect("every picture");
            let mut k = 0;
            let mut least = f64::INFINITY;
            video
                .decode(&all, &mut |rgb, width, height| {
                    assert_eq!((width, height), (WIDTH, HEIGHT));
                    least = least.min(psnr(rgb, &picture(k)));
                    k += 1;
                    Ok(())
                })
                .expect("what was encoded decodes");
            assert_eq!(k, 27);
            assert!(least > 38.0, "{least} dB");
        }
    }

    #[test]
    fn any_picture_is_at_most_one_away_from_a_keyframe() {
        let keys: Vec<bool> = film(13, 10.0).pictures.iter().map(|coded| coded.is_key).collect();
        assert_eq!(keys, (0..13).map(|k| k % 2 == 0).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_pictures_give_the_same_bytes() {
        let bytes = |film: Film| film.pictures.into_iter().map(|coded| coded.bytes).collect::<Vec<_>>();
        let (a, b) = (bytes(film(30, 10.0)), bytes(film(30, 10.0)));
        assert!(a == b);
    }

    #[test]
    fn sizes_that_would_be_cut_or_padded_are_refused() {
        for (height, width) in [(47, 64), (48, 63), (8, 8), (2160, 3842), (2162, 2162)] {
            assert!(!Film::takes(height, width), "{height}x{width}");
        }
        assert!(Film::takes(16, 16) && Film::takes(2160, 3840) && Film::takes(3840, 2160) && Film::takes(18, 50));
        let why = Film::new(10.0).extend(&[vec![0; 47 * 64 * 3]], 47, 64).expect_err("an odd height");
        assert!(why.starts_with("pictures of 47x64 pixels cannot be encoded (H.264 takes even"), "{why}");
    }
}
