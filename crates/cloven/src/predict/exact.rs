//! Floating-point numbers in JSON as text: a number read back is the number written, bit for bit, which `serde_json` does not promise for
//! numbers. One unit in the last place of a mean would give other predictions than evaluation gave.

use cloven_data::Standardiser;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Moments {
    mean: Vec<String>,
    std: Vec<String>,
}

pub(super) fn serialize<S: Serializer>(value: &Option<Standardiser>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = |values: &[f64]| values.iter().map(f64::to_string).collect();
    let moments = value.as_ref().map(|Standardiser { mean, std }| Moments {
        mean: text(mean),
        std: text(std),
    });
    moments.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Standardiser>, D::Error> {
    let numbers = |texts: Vec<String>| {
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| D::Error::custom(format!("expected a number, got {text:?}")))
        };
        texts.iter().map(parse).collect::<Result<Vec<f64>, _>>()
    };
    let Some(Moments { mean, std }) = Option::deserialize(deserializer)? else {
        return Ok(None);
    };
    Ok(Some(Standardiser {
        mean: numbers(mean)?,
        std: numbers(std)?,
    }))
}
