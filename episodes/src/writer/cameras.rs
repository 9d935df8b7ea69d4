//! The column of a camera: pictures inside the data files, or video files beside them.

use serde_json::{Value, json};

use super::footage::{Content, Footage, Medium, by};
use super::stats::Stats;
use crate::video::{About, Film};

/// One camera of a written dataset.
pub(super) struct Camera {
    /// Among the cameras of the spec.
    pub(super) position: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) medium: Medium,
    /// What its first video says of itself.
    pub(super) about: Option<About>,
}

impl Camera {
    pub(super) fn dtype(&self) -> &'static str {
        match self.medium {
            Medium::Embedded => "image",
            Medium::Video => "video",
        }
    }

    /// Names of the three axes, as LeRobot has them.
    pub(super) fn axes(&self) -> Vec<String> {
        let channels = match self.medium {
            Medium::Embedded => "channel",
            Medium::Video => "channels",
        };
        ["height", "width", channels].map(str::to_owned).to_vec()
    }

    /// Compares footage with what was declared; `Err` is (found, expected).
    pub(super) fn check(&self, key: &str, footage: &Footage) -> Result<(), (String, String)> {
        let declared = (self.height, self.width);
        let found = footage.size.unwrap_or(declared);
        if found != declared {
            return Err((format!("pictures of {key} with {} pixels", by(found)), by(declared)));
        }
        if footage.medium() != self.medium {
            let word = |medium| if medium == Medium::Video { "video" } else { "embedded pictures" };
            return Err((format!("{key} as {}", word(footage.medium())), word(self.medium).to_owned()));
        }
        Ok(())
    }

    /// Statistics of footage; of the first video it remembers what that says of itself.
    pub(super) fn count(&mut self, footage: &Footage) -> Stats {
        match &footage.content {
            Content::Pictures(_) => {}
            Content::Film(_) => drop(self.about.get_or_insert(Film::ABOUT)),
            Content::Recorded(recorded) => drop(self.about.get_or_insert(recorded.about)),
        }
        footage.stats()
    }

    /// The camera in `features` of `info.json`.
    pub(super) fn info(&self, axes: &[String], rate_hz: f64) -> Value {
        let mut feature = json!({"dtype": self.dtype(), "shape": [self.height, self.width, 3], "names": axes});
        if self.medium == Medium::Video {
            let rate_hz = if rate_hz.fract() == 0.0 { json!(rate_hz as u64) } else { json!(rate_hz) };
            feature["info"] = json!({
                "video.height": self.height,
                "video.width": self.width,
                "video.codec": self.about.map(|about| about.codec),
                "video.pix_fmt": self.about.and_then(|about| about.pix_fmt),
                "video.is_depth_map": false,
                "video.fps": rate_hz,
                "video.channels": 3,
                "has_audio": false,
            });
        }
        feature
    }
}

/// The pictures of footage that lies inside the data files.
pub(super) fn embedded(footage: Footage) -> Option<Vec<Vec<u8>>> {
    match footage.content {
        Content::Pictures(pictures) => Some(pictures),
        Content::Film(_) | Content::Recorded(_) => None,
    }
}
