//! Film strips: a recorded moment, what followed it, and what would have followed.

use anyhow::Result;
use base64::Engine;
use viz::{Frame, strip};

use super::drawing::escaped;

/// A recorded moment and its futures, as one camera sees them.
pub struct Film {
    /// Index of the episode in the dataset.
    pub episode: usize,
    /// Control step from which the futures part.
    pub step: usize,
    /// Control steps per second, 0 where nobody knows.
    pub rate_hz: f64,
    /// Name of the camera.
    pub camera: String,
    /// Control steps after the moment at which each picture of a row is, ascending.
    pub moments: Vec<usize>,
    /// What was recorded first.
    pub rows: Vec<FilmRow>,
}

/// One future.
pub struct FilmRow {
    /// What it is.
    pub label: String,
    /// Return, where it was imagined.
    pub return_: Option<f64>,
    /// Probability of success within the pictures, 0 to 1; 0 or 1 of what was recorded.
    pub success: f64,
    /// A picture per moment, of one size.
    pub frames: Vec<Frame>,
}

impl FilmRow {
    fn score(&self) -> String {
        let mark = if self.success >= 0.5 { "<span class=\"success\">✓</span> " } else { "" };
        match self.return_ {
            Some(value) => format!("{mark}return {value:.2}, success {:.0} %", 100.0 * self.success),
            None if self.success >= 0.5 => format!("{mark}success"),
            None => "no success".to_owned(),
        }
    }
}

/// Its rows under each other, with words beside them.
///
/// # Errors
/// Pictures that contradict one another.
pub fn figure(film: &Film) -> Result<String> {
    let at = |steps: usize| match film.rate_hz {
        // A step of 30 Hz is not none.
        hz if hz > 10.0 => format!("{:.2} s", steps as f64 / hz),
        hz if hz > 0.0 => format!("{:.1} s", steps as f64 / hz),
        _ => format!("{steps} steps"),
    };
    let camera = escaped(&film.camera);
    let mut out = format!(
        "<figure class=\"film\"><figcaption><strong>Episode {}, after {}</strong> (step {}), {camera}; success within {}</figcaption><div class=\"reel\"><div class=\"take moments\"><span></span><ol>",
        film.episode,
        at(film.step),
        film.step,
        at(film.moments.last().copied().unwrap_or_default())
    );
    out.extend(film.moments.iter().map(|&steps| format!("<li>+{}</li>", at(steps))));
    out.push_str("</ol><span></span></div>");
    for row in &film.rows {
        let encoded = strip(&row.frames)?;
        let (label, mime) = (escaped(&row.label), encoded.mime);
        let bytes = base64::engine::general_purpose::STANDARD.encode(&encoded.bytes);
        out.push_str(&format!(
            "<div class=\"take\"><span class=\"what\">{label}</span><span class=\"strip\" style=\"--pictures:{}\"><img alt=\"{label}: {} pictures of {camera}\" src=\"data:{mime};base64,{bytes}\"></span><span class=\"score\">{}</span></div>",
            row.frames.len(),
            row.frames.len(),
            row.score()
        ));
    }
    out.push_str("</div></figure>");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_seconds_where_the_rate_is_known_and_scores_stand_beside_their_row() -> Result<()> {
        let frames = || vec![Frame { size: 1, rgb: vec![9, 9, 9] }; 2];
        let mut film = Film {
            episode: 7,
            step: 39,
            rate_hz: 10.0,
            camera: "top<1>".into(),
            moments: vec![1, 20],
            rows: vec![
                FilmRow { label: "recorded".into(), return_: None, success: 0.0, frames: frames() },
                FilmRow { label: "improved".into(), return_: Some(0.812), success: 0.625, frames: frames() },
            ],
        };
        let page = figure(&film)?;
        assert!(
            page.contains("<strong>Episode 7, after 3.9 s</strong> (step 39), top&lt;1&gt;; success within 2.0 s<")
        );
        assert!(page.contains("<li>+0.1 s</li><li>+2.0 s</li>") && page.contains("data:image/png;base64,"), "{page}");
        assert!(page.contains("<span class=\"score\">no success</span>"));
        assert!(page.contains("✓</span> return 0.81, success 62 %</span>"), "{page}");
        film.rate_hz = 30.0;
        assert!(figure(&film)?.contains("<li>+0.03 s</li><li>+0.67 s</li>"));
        film.rate_hz = 0.0;
        assert!(figure(&film)?.contains("<li>+1 steps</li>"));
        film.rows[0].frames[0].size = 2;
        assert!(figure(&film).is_err());
        Ok(())
    }
}
