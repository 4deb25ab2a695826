//! HTML whose texts are escaped by their type: what is not [`Markup`] is text.

use std::fmt::Write;

/// Finished HTML or SVG.
#[derive(Debug, Clone, Default)]
pub(super) struct Markup(pub(super) String);

/// Writes itself into a page.
pub(super) trait Render {
    fn render(&self) -> String;
}

impl Render for Markup {
    fn render(&self) -> String {
        self.0.clone()
    }
}

impl Render for str {
    fn render(&self) -> String {
        let mut out = String::with_capacity(self.len());
        for c in self.chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                // Not allowed in a page, and no reader sees them.
                c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
                c => out.push(c),
            }
        }
        out
    }
}

impl Render for String {
    fn render(&self) -> String {
        self.as_str().render()
    }
}

impl<T: Render + ?Sized> Render for &T {
    fn render(&self) -> String {
        (**self).render()
    }
}

/// Coordinates: one decimal is a tenth of a pixel.
impl Render for f64 {
    fn render(&self) -> String {
        let mut out = String::new();
        let _ = write!(out, "{self:.1}");
        out
    }
}

impl Render for usize {
    fn render(&self) -> String {
        self.to_string()
    }
}

impl<T: Render> Render for Vec<T> {
    fn render(&self) -> String {
        self.iter().map(Render::render).collect()
    }
}

/// As `format!`, with every argument escaped unless it is [`Markup`]; only `{}` is understood.
macro_rules! markup {
    ($form:literal $(, $argument:expr)* $(,)?) => {
        $crate::report::markup::Markup(format!($form $(, $crate::report::markup::Render::render(&$argument))*))
    };
}

pub(super) use markup;
