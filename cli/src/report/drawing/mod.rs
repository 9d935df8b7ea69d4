//! The drawings of `report.html`: scores with their intervals, imagined against true scores, and lines over a horizon or over training.
//! Titles and captions are text of the page; a drawing holds axes and marks.

mod axes;
mod lines;
mod scatter;
mod whiskers;

pub use lines::{Line, lines};
pub use scatter::{Point, scatter};
pub use whiskers::{Scale, Whisker, whiskers};

/// Text safe inside HTML and SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A drawing with its title, and what is drawn in it; nothing where nothing was drawn.
pub fn figure(title: &str, about: &str, drawing: &str) -> String {
    if drawing.is_empty() {
        return String::new();
    }
    let (title, about) = (escaped(title), escaped(about));
    format!("<figure><figcaption><strong>{title}</strong> {about}</figcaption>{drawing}</figure>")
}

/// Drawings that belong together, beside one another where there is room; nothing where there are none.
pub fn beside(class: &str, drawings: &[String]) -> String {
    let drawings = drawings.concat();
    if drawings.is_empty() { drawings } else { format!("<div class=\"{class}\">{drawings}</div>") }
}

/// The beginning of a drawing of a size; readers who do not see it are told its axes.
fn svg(width: f64, height: f64, about: &str) -> String {
    let about = escaped(about);
    format!("<svg width=\"{width:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{about}\">")
}

/// The mark of one way to know a score: each has a shape of its own beside its colour.
fn mark(class: &str, x: f64, y: f64) -> String {
    match class {
        "truth" => format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>", x - 4.0, y - 4.0),
        "fqe" => format!("<path d=\"M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z\"/>", y - 5.5),
        "doubly-robust" => format!("<path d=\"M{x:.1} {:.1}l5.5 9.5h-11z\"/>", y - 5.5),
        _ => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
    }
}
