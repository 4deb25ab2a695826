//! A network in two parts, one after the other, whose weights different parties have.

use super::{Ending, FixedModel, Step, Structure, fixed_error};
use crate::ModelError;

impl FixedModel {
    /// The first `layers` layers of the model and the rest, none of which may be left: what comes out of the first part, flat and at its
    /// [`Structure::output_scale`], goes into the second. Together they compute what the whole does, bit for bit. A pooling after a ReLU that is computed with it
    /// goes into its part.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] for a part without steps, or a model that does not know its layers.
    pub fn split(self, layers: usize) -> Result<(Self, Self), ModelError> {
        let Structure { steps, layer_ends, .. } = &self.structure;
        let all = layer_ends.len();
        let end = layers.checked_sub(1).and_then(|last| layer_ends.get(last).copied());
        let end = end.filter(|end| (1..steps.len()).contains(end)).ok_or_else(|| {
            fixed_error(
                "first layers",
                format!("some of the {all}, and some left that compute"),
                layers,
            )
        })?;
        let (sizes, scales) = (self.structure.sizes()?, self.structure.scales()?);
        let (first, rest) = steps.split_at(end);
        let products = first.iter().filter(|step| matches!(step, Step::Linear { .. })).count();
        let (first_ends, rest_ends) = layer_ends.split_at(layers);
        let first = Structure {
            steps: first.to_vec(),
            layer_ends: first_ends.to_vec(),
            ending: Ending::Scores,
            ..self.structure.clone()
        };
        let rest = Structure {
            input: vec![sizes[end]],
            input_scale: Some(scales[end]),
            steps: rest.to_vec(),
            layer_ends: rest_ends.iter().map(|at| at - end).collect(),
            ..self.structure.clone()
        };
        first.check()?;
        rest.check()?;
        let mut weights = self.weights;
        let rest_weights = weights.split_off(products);
        let part = |structure, weights| Self { structure, weights };
        Ok((part(first, weights), part(rest, rest_weights)))
    }
}
