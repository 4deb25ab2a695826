//! What `cloven audit` found, with pictures.

use crate::{
    audit::{Audits, Example, PartyAudit},
    report::{
        markup::{Markup, markup},
        numbers,
    },
};

/// Pictures of numbers are this wide and high.
const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 84.0;
/// Numbers in one picture, at most.
const MOST: usize = 4096;

/// The section on the audit.
pub(super) fn audits(audits: Option<&Audits>) -> Markup {
    let Some(audits) = audits else { return Markup::default() };
    let parties: Vec<Markup> = audits
        .parties
        .iter()
        .map(|(party, audit)| of_party(party.as_str(), audit))
        .collect();
    markup!(
        r#"<section><h2>What came back from recorded views</h2><p>Attacks on what a party received, each beside what chance gives. “Did not succeed” is a statement about these attacks on these rows; it does not show that no attack can succeed.</p>{}</section>"#,
        parties
    )
}

fn of_party(party: &str, PartyAudit { recording, audit }: &PartyAudit) -> Markup {
    let rows: Vec<Markup> = audit
        .findings
        .iter()
        .map(|f| {
            let (class, word) = if f.succeeded { ("bad", "came back") } else { ("good", "did not succeed") };
            markup!(
                r#"<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class="n">{}</td><td class="n">{}</td><td><span class="verdict {}">{}</span></td></tr>"#,
                f.target, f.attack, f.messages, f.measure, signed(f.value), signed(f.chance), class, word
            )
        })
        .collect();
    let not_tried: Vec<Markup> = audit.not_tried.iter().map(|why| markup!("<li>{}</li>", why)).collect();
    let not_tried = match not_tried.is_empty() {
        true => Markup::default(),
        false => markup!("<p>Not tried:</p><ul>{}</ul>", not_tried),
    };
    markup!(
        r#"<h3>{} as the attacker</h3><p class="soft">{} rows of the first epoch; of the recording: {}.</p><div class="scroll"><table class="wide"><tr><th>target</th><th>attack</th><th>messages</th><th>measure</th><th class="n">value</th><th class="n">chance</th><th></th></tr>{}</table></div>{}{}"#,
        party,
        numbers::count(audit.rows as u64),
        *recording,
        rows,
        not_tried,
        examples(&audit.examples, &audit.received)
    )
}

fn signed(value: f64) -> String {
    format!("{value:.3}").replace('-', "\u{2212}")
}

fn examples(examples: &[Example], received: &str) -> Markup {
    let received = format!("what was received: {received}");
    let shown: Vec<Markup> = examples
        .iter()
        .map(|e| {
            let reconstruction = e
                .reconstruction
                .as_ref()
                .map(|r| captioned("the decoder’s reconstruction", picture(r, &e.shape, Some(&e.input), 2)));
            markup!(
                r#"{}{}{}"#,
                captioned("input", picture(&e.input, &e.shape, None, 0)),
                captioned(&received, picture(&e.received, &[e.received.len()], None, 1)),
                reconstruction.unwrap_or_default()
            )
        })
        .collect();
    if shown.is_empty() {
        return Markup::default();
    }
    markup!(
        r#"<h3>Inputs beside what was received</h3><p class="soft">Rows that the decoder was not trained on, one a line. The input is drawn again, dotted, behind its reconstruction.</p><div class="samples triples">{}</div>"#,
        shown
    )
}

fn captioned(text: &str, picture: Markup) -> Markup {
    markup!(
        r#"<figure class="small">{}<figcaption>{}</figcaption></figure>"#,
        picture,
        text
    )
}

/// An image as grey squares; anything else as a line, with another line behind it.
fn picture(values: &[f32], shape: &[usize], behind: Option<&[f32]>, colour: usize) -> Markup {
    let values = &values[..values.len().min(MOST)];
    if let &[_, height, width] = shape
        && width > 0
        && let Some(pixels) = height.checked_mul(width).and_then(|n| values.get(..n))
    {
        return image(pixels, width);
    }
    let all = || {
        values
            .iter()
            .chain(behind.into_iter().flatten())
            .copied()
            .filter(|v| v.is_finite())
    };
    let (low, high) = all().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let line = |values: &[f32]| {
        let step = WIDTH / (values.len().max(2) - 1) as f64;
        let y = |v: f32| {
            if high > low {
                HEIGHT - 4.0 - f64::from((v - low) / (high - low)) * (HEIGHT - 8.0)
            } else {
                HEIGHT / 2.0
            }
        };
        let finite = values.iter().enumerate().filter(|(_, v)| v.is_finite());
        finite
            .map(|(i, v)| format!("{:.1},{:.1} ", i as f64 * step, y(*v)))
            .collect::<String>()
    };
    let behind = behind.map(|values| markup!(r#"<polyline class="behind" points="{}"/>"#, line(values)));
    markup!(
        r#"<svg class="series s{}" viewBox="0 0 {} {}" role="img">{}<polyline class="thin" points="{}"/></svg>"#,
        colour,
        WIDTH,
        HEIGHT,
        behind.unwrap_or_default(),
        line(values)
    )
}

fn image(values: &[f32], width: usize) -> Markup {
    let (low, high) = values
        .iter()
        .fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let squares: Vec<Markup> = values
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let grey = if high > low {
                (255.0 * (v - low) / (high - low)) as u8
            } else {
                0
            };
            Markup(format!(
                r#"<rect x="{}" y="{}" width="1" height="1" fill="rgb({grey},{grey},{grey})"/>"#,
                i % width,
                i / width
            ))
        })
        .collect();
    markup!(
        r#"<svg class="image" viewBox="0 0 {} {}" shape-rendering="crispEdges" role="img">{}</svg>"#,
        width,
        values.len() / width,
        squares
    )
}
