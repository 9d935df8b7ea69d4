//! The words of `report.md` as HTML.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// Markdown as HTML. Names and texts come from recordings: what looks like HTML in them stays text, and nothing of them is linked or
/// fetched.
pub fn html(markdown: &str) -> String {
    let raw = |tag: &'static str| Event::Html(CowStr::Borrowed(tag));
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).flat_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => vec![Event::Text(text)],
        Event::Start(Tag::Link { .. } | Tag::Image { .. }) | Event::End(TagEnd::Link | TagEnd::Image) => Vec::new(),
        // Wide tables scroll on narrow screens.
        Event::Start(table @ Tag::Table(_)) => vec![raw("<div class=\"table\">"), Event::Start(table)],
        Event::End(TagEnd::Table) => vec![Event::End(TagEnd::Table), raw("</div>")],
        event => vec![event],
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    out
}

/// What a function writes as Markdown, as HTML.
pub fn told(write: impl FnOnce(&mut String) -> std::fmt::Result) -> String {
    let mut markdown = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut markdown);
    html(&markdown)
}

/// Words that few readers want, under a line that opens them; nothing where there are none.
pub fn folded(summary: &str, inside: &str) -> String {
    if inside.is_empty() {
        return String::new();
    }
    format!("<details><summary>{summary}</summary>{inside}</details>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_lists_and_tables_become_what_they_are() {
        let page = html("## Two\n\n- **a**: `b`\n\n| x | y |\n|---|---|\n| 1 | block_x |\n");
        assert!(page.starts_with("<h2>Two</h2>\n<ul>\n<li><strong>a</strong>: <code>b</code></li>"), "{page}");
        assert!(page.contains("<div class=\"table\"><table>") && page.contains("<td>block_x</td>"), "{page}");
        assert!(page.trim_end().ends_with("</table>\n</div>"), "{page}");
    }

    #[test]
    fn what_recordings_say_is_never_markup() {
        let page = html("pick <b>it</b> ![up](http://a.b/c.png)\n\n<script>alert(1)</script>\n\ny <0.2");
        assert!(page.contains("pick &lt;b&gt;it&lt;/b&gt; up") && !page.contains("<script") && !page.contains("http"));
        assert!(page.contains("&lt;script&gt;") && page.contains("y &lt;0.2"), "{page}");
    }

    #[test]
    fn a_fold_of_nothing_is_nothing() {
        assert_eq!(told(|_| Ok(())), "");
        assert_eq!(folded("More", ""), "");
        assert_eq!(folded("More", "<p>x</p>"), "<details><summary>More</summary><p>x</p></details>");
    }
}
