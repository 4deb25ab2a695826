//! Predicting under `vertical`: every holder has rows of its own, found to be of the same people by their ids.

use std::path::Path;

use cloven_data::{Column, IdOptions, Preprocessor, VerticalOptions, VerticalTable, read_vertical};
use cloven_protocols::vertical::{self, Terms, align, predict};
use cloven_wire::{Channel, Link, Party};
use ndarray::{Array2, ArrayD, Axis};
use rand_chacha::rand_core::Rng;
use zeroize::Zeroizing;

use super::{Layers, Predictor, rows::Rows};
use crate::{
    Error, Job, RunFolder,
    party::{distinct, fresh_randomness, log_adjusted},
    reporter::Reporter,
    vertical_preprocessing::VerticalPreprocessing,
};

/// What a holder brings to a prediction.
pub(super) struct HolderQuery {
    table: VerticalTable,
    digests: Vec<vertical::Id>,
    preprocessor: Option<Preprocessor>,
    classes: Option<Vec<String>>,
}

impl HolderQuery {
    /// Reads `input`: the ids and the columns that the holder trained on, wherever they stand.
    pub(super) fn read(job: &Job, party: &Party, run_folder: &Path, input: &Path) -> Result<Self, Error> {
        let kept = VerticalPreprocessing::read(&RunFolder::preprocessing(run_folder, party), job)?;
        let options = kept.options.unwrap_or_else(numbered);
        let names = kept.preprocessor.as_ref().map(Preprocessor::inputs).unwrap_or_default();
        let (table, digests) = distinct(party, read_vertical(input, &options.for_prediction(&names))?)?;
        Ok(Self {
            digests,
            table,
            preprocessor: kept.preprocessor,
            classes: kept.classes,
        })
    }

    /// The columns of the rows at these places, as in training.
    fn columns(&self, party: &Party, places: &[usize]) -> Result<Option<Array2<f32>>, Error> {
        let apply = |preprocessor: &Preprocessor| {
            let prepared = preprocessor.apply(&self.table, places)?;
            log_adjusted(party, &prepared.counts);
            Ok(prepared.features)
        };
        self.preprocessor.as_ref().map(apply).transpose()
    }

    /// The label holder's rows in the order of its file, and their outputs in that order.
    pub(super) fn in_order(&self, places: &[usize], outputs: &ArrayD<f32>) -> (Rows, ArrayD<f32>) {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|row| places[*row]);
        let rows = Rows {
            x: ArrayD::zeros(vec![0]),
            numbers: order.iter().map(|row| self.table.numbers[places[*row]]).collect(),
            labels: None,
            classes: self.classes.clone(),
        };
        (rows, outputs.select(Axis(0), &order))
    }
}

/// Data inside the program have no file: rows to predict stand in a CSV file with a column `id`.
fn numbered() -> VerticalOptions {
    VerticalOptions {
        ids: IdOptions {
            columns: vec![Column::Name("id".into())],
            fold_case: false,
        },
        split_by: Vec::new(),
        categorical: Vec::new(),
        format: None,
        csv: Some(cloven_data::CsvOptions::default()),
        parquet: None,
    }
}

/// What a party's script gives: at a holder where its common rows are, at the label holder the outputs on them.
pub(super) type Answer = (Vec<usize>, Option<ArrayD<f32>>);

impl Predictor {
    /// This party's part, with a link to every other one.
    pub(super) async fn vertical<C: Channel>(&self, links: &mut [Link<C>], reporter: &Reporter<'_>) -> Result<Answer, Error> {
        let terms = self.me.job.vertical_terms()?;
        let mut secret = Zeroizing::new([0; 32]);
        fresh_randomness()?.fill_bytes(&mut *secret);
        let mut observe = |event| reporter.observe(event);
        let nothing = |()| (Vec::new(), None);
        let done = match (&self.layers, &self.query) {
            (Layers::Holder { shares, tail }, Some(query)) => {
                self.holder(query, (shares, tail.as_deref()), &terms, &secret, links, reporter)
                    .await?
            }
            (Layers::Server(hidden), _) => predict::server(hidden, &terms, links, &mut observe).await.map(nothing),
            _ => vertical::predicting_dealer(&secret, &terms, links, &mut observe)
                .await
                .map(nothing),
        };
        done.map_err(|cause| self.me.protocol_error(cause))
    }

    async fn holder<C: Channel>(
        &self,
        query: &HolderQuery,
        (shares, tail): (&[u8], Option<&cloven_nn::Network>),
        terms: &Terms,
        secret: &[u8; 32],
        links: &mut [Link<C>],
        reporter: &Reporter<'_>,
    ) -> Result<Result<Answer, cloven_protocols::ProtocolError>, Error> {
        let party = &self.me.party;
        let places = match align(party, terms, secret, &query.digests, links).await {
            Ok(found) => found.places,
            Err(cause) => return Ok(Err(cause)),
        };
        let me = predict::Holder {
            party: party.clone(),
            columns: query.columns(party, &places)?,
            shares,
            tail,
            rows: places.len(),
            secret,
        };
        let outputs = predict::holder(me, terms, links, &mut |event| reporter.observe(event)).await;
        Ok(outputs.map(|outputs| (places, outputs)))
    }

    /// Who is at the other ends: everybody but a coordinator.
    pub(super) fn others(&self) -> Vec<Party> {
        let parties = self.me.job.predicting();
        parties.filter(|party| **party != self.me.party).cloned().collect()
    }
}
