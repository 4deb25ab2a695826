//! The server's side of the lattice encryption, at a helper of the server: one client's session.

use cloven_lattice::LatticeError;
use ndarray::ArrayD;

use super::{Direction, SealedLen, Sealing, ServerCipher};
use crate::{
    ProtocolError,
    helpers::{Helpers, Request, Station},
};

/// Has a helper multiply what one client seals. The layer stays here, too: for a helper that takes the place of one that is lost.
pub struct HelpedLattice<'h> {
    sealing: Sealing,
    station: Station<'h>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl<'h> HelpedLattice<'h> {
    /// Without a layer yet; for the client of this number among the server's.
    pub fn new(sealing: Sealing, client: usize, helpers: &'h dyn Helpers) -> Self {
        Self {
            sealing,
            station: Station::new(helpers, client),
            weight: Vec::new(),
            bias: None,
        }
    }
}

impl SealedLen for HelpedLattice<'_> {
    fn sealed_len(&self, direction: Direction, rows: usize) -> usize {
        self.sealing.sealed_len(direction, rows)
    }

    fn answer_len(&self, direction: Direction, rows: usize) -> usize {
        self.sealing.answer_len(direction, rows)
    }
}

impl ServerCipher for HelpedLattice<'_> {
    fn set_layer(&mut self, weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>) -> Result<(), LatticeError> {
        self.sealing.check_layer(weight, bias)?;
        self.weight = weight.iter().copied().collect();
        self.bias = bias.map(|bias| bias.iter().copied().collect());
        self.station.forget();
        Ok(())
    }

    async fn answer(&mut self, direction: Direction, sealed: &[u8], rows: usize) -> Result<Vec<u8>, ProtocolError> {
        self.sealing.product(direction).check_upload(sealed, rows)?;
        let [most, inputs, outputs] = self.sealing.form();
        let layer = Request::Dense {
            rows: most,
            shape: [inputs, outputs],
            weight: &self.weight,
            bias: self.bias.as_deref(),
        };
        let batch = Request::Sealed {
            direction,
            rows,
            batch: sealed,
        };
        self.station.ask(&[layer], &batch).await
    }
}
