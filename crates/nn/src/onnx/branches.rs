//! From a graph of points to layers inside each other: where branches part and meet again.

use ndarray::ArrayD;

use super::graph::{Origin, Point};
use super::layers::Made;
use super::onnx_error;
use crate::{LayerSpec, MAX_NESTING, ModelError};

/// The points, with what every way to each of them goes through.
pub(super) struct Branches {
    points: Vec<Point>,
    /// For each point, the last one before it through which every way from the input goes; of the input, itself.
    before: Vec<usize>,
    /// Whether a point is part of the model already.
    used: Vec<bool>,
}

/// A branch as layers.
enum Piece {
    Layer(Made),
    Block { body: Vec<Piece>, shortcut: Vec<Piece> },
}

type Named = Vec<(String, ArrayD<f32>)>;

impl Branches {
    /// The points come in an order in which each uses only those before it.
    pub fn new(points: Vec<Point>) -> Result<Self, ModelError> {
        let (mut before, mut depth) = (vec![0], vec![0]);
        for point in points.iter().skip(1) {
            let parent = match point.origin {
                Origin::Input => 0,
                Origin::Layer { from, .. } => from,
                Origin::Sum(mut operands) => loop {
                    match operands {
                        [left, right] if left == right => break left,
                        [left, right] if depth[left] < depth[right] => operands = [left, before[right]],
                        [left, right] => operands = [before[left], right],
                    }
                },
            };
            before.push(parent);
            depth.push(depth[parent] + 1);
        }
        Ok(Self {
            used: vec![false; points.len()],
            before,
            points,
        })
    }

    /// The layers from the input to `end`, and their arrays by full name.
    pub fn layers(mut self, end: usize) -> Result<(Vec<LayerSpec>, Named), ModelError> {
        let pieces = self.between(0, end, 0)?;
        let mut arrays = Vec::new();
        let layers = named(pieces, "", &mut arrays);
        Ok((layers, arrays))
    }

    /// What lies between two points, of which every way to the second goes through the first.
    fn between(&mut self, start: usize, end: usize, nesting: usize) -> Result<Vec<Piece>, ModelError> {
        let (mut pieces, mut at) = (Vec::new(), end);
        while at != start {
            let node = self.points[at].node.clone();
            if std::mem::replace(&mut self.used[at], true) {
                let expected = "branches that part at one place and meet at one Add";
                return Err(onnx_error(node, expected, "an output that is used in several"));
            }
            let before = self.before[at];
            match std::mem::replace(&mut self.points[at].origin, Origin::Input) {
                Origin::Layer { made, .. } => pieces.push(Piece::Layer(made)),
                Origin::Sum(_) if nesting == MAX_NESTING => {
                    let expected = format!("at most {MAX_NESTING} residual blocks inside each other");
                    return Err(onnx_error(node, expected, "more"));
                }
                Origin::Sum([left, right]) => {
                    let left = self.between(before, left, nesting + 1)?;
                    let right = self.between(before, right, nesting + 1)?;
                    // The body is the branch in which more happens.
                    let (body, shortcut) = if left.len() >= right.len() {
                        (left, right)
                    } else {
                        (right, left)
                    };
                    if body.is_empty() {
                        return Err(onnx_error(node, "a layer in one of the branches", "none"));
                    }
                    pieces.push(Piece::Block { body, shortcut });
                }
                Origin::Input => return Err(onnx_error(node, "a way from the input", "none")),
            }
            at = before;
        }
        pieces.reverse();
        Ok(pieces)
    }
}

/// The layers of a branch; their arrays get names that begin with `prefix` and the layer's number.
fn named(pieces: Vec<Piece>, prefix: &str, arrays: &mut Named) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for piece in pieces {
        let place = format!("{prefix}{}", layers.len());
        match piece {
            Piece::Layer(made) => {
                arrays.extend(
                    made.arrays
                        .into_iter()
                        .map(|(name, array)| (format!("{place}.{name}"), array)),
                );
                layers.extend(made.layers);
            }
            Piece::Block { body, shortcut } => layers.push(LayerSpec::Residual {
                body: named(body, &format!("{place}.body."), arrays),
                shortcut: named(shortcut, &format!("{place}.shortcut."), arrays),
            }),
        }
    }
    layers
}
