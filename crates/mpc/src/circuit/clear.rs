//! Running a circuit in the clear: the oracle of the other engines.

use super::{Circuit, Gate, Operand};
use crate::{BitMatrix, MpcError, matrix::expect};

impl Circuit {
    /// The output bits (one row each, one column per instance) for the input bits of all parties in the order of the inputs.
    pub fn evaluate(&self, inputs: &BitMatrix) -> Result<BitMatrix, MpcError> {
        expect("rows of input bits", self.input_bits(), inputs.rows())?;
        let mut wires = BitMatrix::zeros(self.wires(), inputs.columns());
        for row in 0..inputs.rows() {
            wires.row_mut(1 + row).copy_from_slice(inputs.row(row));
        }
        for (gate, out) in self.gates.iter().zip(self.first_gate()..) {
            for word in 0..wires.stride() {
                let read = |operand: Operand| wires.row(operand.wire)[word] ^ 0u64.wrapping_sub(operand.inverted.into());
                let value = match *gate {
                    Gate::Xor(left, right) => wires.row(left)[word] ^ wires.row(right)[word],
                    Gate::And(left, right) => read(left) & read(right),
                };
                wires.row_mut(out)[word] = value;
            }
        }
        Ok(self.read_outputs(&wires, true))
    }

    /// The outputs' rows out of all wires' rows; the complements are applied by one of the parties that share the wires.
    pub(crate) fn read_outputs(&self, wires: &BitMatrix, complement: bool) -> BitMatrix {
        let mut outputs = BitMatrix::zeros(self.output_bits(), wires.columns());
        let mask = wires.last_mask();
        for (row, output) in self.outputs.iter().enumerate() {
            outputs.row_mut(row).copy_from_slice(wires.row(output.wire));
            if let Some(last) = outputs.row_mut(row).last_mut() {
                *last &= mask;
            }
            if complement && output.inverted {
                outputs.invert_row(row);
            }
        }
        outputs
    }
}
