//! Cutting beats out of a signal.

use crate::source::{BeatClasses, Normalise, WfdbOptions};

/// The classes in the order of their numbers.
pub(crate) fn class_names(classes: BeatClasses) -> Vec<String> {
    let names = match classes {
        BeatClasses::Nlrav => ["N", "L", "R", "A", "V"],
        BeatClasses::Aami => ["N", "S", "V", "F", "Q"],
    };
    names.map(String::from).to_vec()
}

/// The class of a beat's symbol, or nothing when it belongs to none.
pub(super) fn class(symbol: &str, classes: BeatClasses) -> Option<&'static str> {
    Some(match (classes, symbol) {
        (_, "N") => "N",
        (BeatClasses::Nlrav, "L") => "L",
        (BeatClasses::Nlrav, "R") => "R",
        (BeatClasses::Nlrav, "A") => "A",
        (_, "V") => "V",
        (BeatClasses::Aami, "L" | "R" | "e" | "j") => "N",
        (BeatClasses::Aami, "A" | "a" | "J" | "S") => "S",
        (BeatClasses::Aami, "E") => "V",
        (BeatClasses::Aami, "F") => "F",
        (BeatClasses::Aami, "/" | "f" | "Q") => "Q",
        _ => return None,
    })
}

/// A signal with the window that is cut from it.
pub(super) struct Cutter {
    signal: Vec<f32>,
    /// Samples from a beat's annotation back to the window's start.
    before: f64,
    /// Samples from one point to the next.
    step: f64,
    points: usize,
    normalise: Normalise,
}

impl Cutter {
    pub(super) fn new(signal: Vec<f32>, frequency: f64, options: &WfdbOptions) -> Self {
        Cutter {
            signal,
            before: options.before * frequency,
            step: (options.before + options.after) * frequency / options.points as f64,
            points: options.points,
            normalise: options.normalise,
        }
    }

    /// Appends the beat at `sample` to `values`, unless its window is not whole: it reaches beyond the record or over an invalid
    /// sample.
    pub(super) fn cut(&self, sample: i64, values: &mut Vec<f32>) -> bool {
        let start = values.len();
        for point in 0..self.points {
            match self.at(sample as f64 - self.before + point as f64 * self.step) {
                Some(value) => values.push(value),
                None => {
                    values.truncate(start);
                    return false;
                }
            }
        }
        self.normalise(&mut values[start..]);
        true
    }

    /// The signal between two samples, on the straight line through them.
    fn at(&self, position: f64) -> Option<f32> {
        let (left, share) = (position.floor(), (position - position.floor()) as f32);
        // A negative number or one beyond the last is no index.
        let left = (left >= 0.0 && left < self.signal.len() as f64).then_some(left as usize)?;
        let value = match share == 0.0 {
            true => self.signal[left],
            false => self.signal[left] * (1.0 - share) + self.signal.get(left + 1)? * share,
        };
        value.is_finite().then_some(value)
    }

    fn normalise(&self, beat: &mut [f32]) {
        let count = beat.len() as f32;
        let (offset, scale) = match self.normalise {
            Normalise::None => return,
            Normalise::MinMax => {
                let (min, max) = beat.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &value| {
                    (min.min(value), max.max(value))
                });
                (min, max - min)
            }
            Normalise::ZScore => {
                let mean = beat.iter().sum::<f32>() / count;
                let variance = beat.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
                (mean, variance.sqrt())
            }
        };
        // A flat beat becomes zeros.
        let scale = if scale > 0.0 { scale } else { 1.0 };
        beat.iter_mut().for_each(|value| *value = (*value - offset) / scale);
    }
}
