//! The workers, as the enclave sees them.

use cloven_accel::job::{Answer, Job, Tensor};
use cloven_accel::{Matrices, Residues, Shape};
use cloven_wire::{Channel, DecodeError, Link, Message, WireError};
use futures_util::future::try_join_all;

use crate::{
    ProtocolError,
    enclave::{
        Blinding, Terms,
        msg::{WorkerAnswer, WorkerJob},
        worker::MAX_JOB,
    },
};

/// Links to the workers at work, in order.
pub(super) struct Pool<'l, C> {
    links: Vec<&'l mut Link<C>>,
    round: u64,
}

impl<'l, C: Channel> Pool<'l, C> {
    pub(super) fn new(links: Vec<&'l mut Link<C>>, terms: &Terms) -> Result<Self, ProtocolError> {
        let needed = match terms.blinding {
            Blinding::Masked => cloven_accel::masked::WORKERS,
            Blinding::Permute { .. } | Blinding::None => 1,
        };
        match links.len() {
            workers if workers >= needed => Ok(Self { links, round: 0 }),
            workers => Err(ProtocolError::Structure(format!(
                "this blinding needs {needed} workers, the job has {workers}"
            ))),
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.links.len()
    }

    /// Every worker does its job; what each answers.
    pub(super) async fn run(&mut self, jobs: Vec<Job>) -> Result<Vec<Answer>, ProtocolError> {
        self.round += 1;
        let round = self.round;
        let each = self.links.iter_mut().zip(jobs).map(async |(link, job)| {
            link.send(round, &WorkerJob(job.encode())).await?;
            let WorkerAnswer(bytes) = link.receive(round, &MAX_JOB).await?;
            Answer::decode(&bytes).map_err(|cause| wrong(link, round, "products that were asked for", cause.to_string()))
        });
        try_join_all(each).await
    }

    /// The end of the work.
    pub(super) async fn end(&mut self) -> Result<(), ProtocolError> {
        self.round += 1;
        let round = self.round;
        let each = self
            .links
            .iter_mut()
            .map(async |link| link.send(round, &WorkerJob(Vec::new())).await);
        try_join_all(each).await?;
        Ok(())
    }

    /// What worker `number` answered, residues of these shapes.
    pub(super) fn residues(&self, number: usize, answer: Answer, shapes: &[Shape]) -> Result<Vec<Residues>, ProtocolError> {
        self.tensors(number, answer, shapes, |tensor| match tensor {
            Tensor::Residues(residues) => Some(residues),
            Tensor::Floats(_) => None,
        })
    }

    /// The same of numbers.
    pub(super) fn floats(&self, number: usize, answer: Answer, shapes: &[Shape]) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        self.tensors(number, answer, shapes, |tensor| match tensor {
            Tensor::Floats(floats) => Some(floats),
            Tensor::Residues(_) => None,
        })
    }

    fn tensors<T>(
        &self,
        number: usize,
        answer: Answer,
        shapes: &[Shape],
        of_form: fn(Tensor) -> Option<T>,
    ) -> Result<Vec<T>, ProtocolError> {
        let found: Vec<Shape> = answer.0.iter().map(Tensor::shape).collect();
        let all: Option<Vec<T>> = answer.0.into_iter().map(of_form).collect();
        let expected = format!("products of shapes {shapes:?}, in the form of their operands");
        all.filter(|_| found == shapes)
            .ok_or_else(|| wrong(self.links[number], self.round, &expected, format!("{found:?}")))
    }

    /// The error of a worker whose product is not that of its operands.
    pub(super) fn lied(&self, number: usize, layer: &str) -> ProtocolError {
        let expected = format!("the product of the operands of {layer}");
        wrong(self.links[number], self.round, &expected, "another".into())
    }
}

fn wrong<C: Channel>(link: &Link<C>, round: u64, expected: &str, got: String) -> ProtocolError {
    ProtocolError::Wire(WireError::Malformed {
        party: link.peer().clone(),
        round,
        what: WorkerAnswer::NAME,
        cause: DecodeError::Field {
            field: "products",
            expected: expected.to_owned(),
            got,
        },
    })
}
