//! **Duty.** The data-parallel training job: one thread per rank, gradients averaged, every unit of work declared.
//! **Knows** the spec, the model and the pace. **Does not know** sockets: events go to a sink that must not block.
//! **Spec.** TRAINING §5 (never block or kill training), PROTOCOL §3 (work unit).

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use weighbridge_attest_types::{Culprit, Flops, UnitError};

use crate::ambient::Stopwatch;
use crate::checkpoint::{CheckpointError, read_checkpoint, write_checkpoint};
use crate::collective::Member;
use crate::data::{BatchOrder, Split};
use crate::model::{Batch, Forward, GemmCounter, Momentum, Perceptron, Tape};
use crate::spec::TrainingSpec;
use crate::trace::{Captured, State, Step};

/// Micro-batch number of a training unit, and of an evaluation that follows it. Work is reported in ascending order.
const TRAINING_UNIT: u16 = 0;
const EVALUATION_UNIT: u16 = 1;
/// Steps whose mean is called the final loss.
const FINAL_STEPS: usize = 10;

/// What a rank tells its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobEvent {
    /// Work was done.
    WorkUnit {
        /// Optimizer step, from 1; 0 for what precedes the first.
        step: u64,
        /// Rank.
        rank: u32,
        /// Micro-batch.
        micro_batch: u16,
        /// FLOP by the committed rule.
        flop: Flops,
    },
    /// An optimizer step is complete.
    Step {
        /// Optimizer step, from 1.
        step: u64,
    },
    /// A step that is audited, as a trace.
    Trace(Captured),
    /// A checkpoint is complete on disk.
    Checkpoint {
        /// Optimizer step after which it was written.
        step: u64,
        /// Its files.
        files: Vec<PathBuf>,
    },
}

/// Where a rank's events go.
pub(crate) type Sink<'a> = Box<dyn FnMut(JobEvent) + Send + 'a>;

/// One training job.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// What was committed to.
    pub(crate) spec: &'a TrainingSpec,
    /// The data.
    pub(crate) split: &'a Split,
    /// Steps per second to keep to; `None` runs as fast as it can. A job that falls behind does fewer steps.
    pub(crate) steps_per_second: Option<f64>,
    /// Steps between checkpoints of rank 0; every rank writes the last one.
    pub(crate) checkpoint_every: u64,
    /// Steps between evaluations by rank 0.
    pub(crate) evaluate_every: u64,
    /// Steps between audited ones; `None` captures nothing.
    pub(crate) audit_every: Option<u64>,
    /// Where each rank writes its checkpoints.
    pub(crate) folders: &'a [PathBuf],
    /// Which part of the run this is.
    pub(crate) attempt: Attempt,
}

/// One life of the job: from the start or a checkpoint to the end or its death.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// From 0.
    pub(crate) number: u16,
    /// The step after which the checkpoint was written that it goes on from, and the checkpoint's folder.
    pub(crate) resumes: Option<(u64, PathBuf)>,
    /// The step after which it dies: no checkpoint, no word.
    pub(crate) dies_after: Option<u64>,
}

impl Attempt {
    /// Steps that were done before it.
    fn done_before(&self) -> u64 {
        self.resumes.as_ref().map_or(0, |(step, _)| *step)
    }
}

/// One step, as shown to people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepLine {
    /// Optimizer step, from 1.
    pub(crate) step: u64,
    /// Mean loss over all ranks.
    pub(crate) loss: f32,
    /// Training accuracy of rank 0's micro-batch.
    pub(crate) accuracy: f64,
    /// Latest accuracy on held-out rows.
    pub(crate) held_out_accuracy: f64,
}

/// What the job came to.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSummary {
    /// Number of the last optimizer step.
    pub steps: u64,
    /// Steps that were done again after a restart; they were declared both times.
    pub abandoned: u64,
    /// Loss of the first global batch.
    pub initial_loss: f32,
    /// Mean loss of the last steps.
    pub final_loss: f32,
    /// Held-out accuracy before the first step.
    pub initial_accuracy: f64,
    /// Held-out accuracy after the last step.
    pub final_accuracy: f64,
    /// FLOP declared by each rank; the kernel counted the same.
    pub declared: Vec<Flops>,
}

/// Why a job failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum TrainError {
    /// candle.
    #[error("rank {rank}: the tensor library refused an operation")]
    Tensor {
        /// Rank.
        rank: usize,
        /// Why.
        #[source]
        source: candle_core::Error,
    },
    /// The rule and the kernel disagree.
    #[error("rank {rank}, step {step}: the rule declares {declared} FLOP and the kernel counted {counted}")]
    Flop {
        /// Rank.
        rank: usize,
        /// Step.
        step: u64,
        /// By the spec's rule.
        declared: Flops,
        /// By the kernel.
        counted: Flops,
    },
    /// A sum left its type.
    #[error("rank {rank}: declared FLOP do not add up")]
    Sum {
        /// Rank.
        rank: usize,
        /// Why.
        #[source]
        source: UnitError,
    },
    /// A checkpoint.
    #[error("rank {rank}: a checkpoint is missing")]
    Checkpoint {
        /// Rank.
        rank: usize,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// Another rank failed first.
    #[error("rank {rank}: another rank stopped before the all-reduce was complete")]
    PeerLost {
        /// Rank.
        rank: usize,
    },
    /// A rank's thread panicked or never started.
    #[error("a rank's thread panicked or never started")]
    Panicked,
}

impl TrainingSummary {
    /// The whole of two attempts; the second went on from an earlier step than the first came to.
    ///
    /// # Errors
    /// [`TrainError::Sum`].
    pub(crate) fn then(self, next: Self, resumed_after: u64) -> Result<Self, TrainError> {
        let add = |(rank, (first, second)): (usize, (Flops, Flops))| {
            first.checked_add(second).map_err(|source| TrainError::Sum { rank, source })
        };
        let declared: Result<_, _> = self.declared.into_iter().zip(next.declared).enumerate().map(add).collect();
        Ok(Self {
            steps: next.steps,
            abandoned: self.abandoned + self.steps.saturating_sub(resumed_after),
            initial_loss: self.initial_loss,
            final_loss: next.final_loss,
            initial_accuracy: self.initial_accuracy,
            final_accuracy: next.final_accuracy,
            declared: declared?,
        })
    }
}

impl TrainError {
    /// Who has to act.
    #[must_use]
    pub(crate) const fn culprit(&self) -> Culprit {
        match self {
            Self::Checkpoint { .. } => Culprit::Unavailable,
            _ => Culprit::Internal,
        }
    }
}

/// Runs the job to its end. `watch` sees every step of rank 0.
///
/// # Errors
/// [`TrainError`]: the first cause, not the ranks that were lost because of it.
pub(crate) fn train(
    job: &Job<'_>,
    sinks: Vec<Sink<'_>>,
    watch: &(dyn Fn(StepLine) + Sync),
) -> Result<TrainingSummary, TrainError> {
    let clock = Stopwatch::start();
    let members = Member::of(job.spec.ranks);
    let results: Vec<Result<RankEnd, TrainError>> = std::thread::scope(|scope| {
        let started = sinks.into_iter().zip(members).enumerate().map(|(number, (sink, member))| {
            scope.spawn(move || Rank::new(job, number, member, sink, clock)?.run(watch))
        });
        let started: Vec<_> = started.collect();
        started.into_iter().map(|rank| rank.join().unwrap_or(Err(TrainError::Panicked))).collect()
    });
    let (ends, mut errors): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    errors.sort_by_key(|result| matches!(result, Err(TrainError::PeerLost { .. })));
    if let Some(Err(first)) = errors.into_iter().next() {
        return Err(first);
    }
    let ends: Vec<RankEnd> = ends.into_iter().flatten().collect();
    let declared = ends.iter().map(|end| end.declared).collect();
    let leader = ends.into_iter().next().ok_or(TrainError::Panicked)?;
    let tail = &leader.losses[leader.losses.len().saturating_sub(FINAL_STEPS)..];
    Ok(TrainingSummary {
        steps: job.attempt.done_before() + leader.losses.len() as u64,
        abandoned: 0,
        initial_loss: leader.losses.first().copied().unwrap_or(f32::NAN),
        final_loss: tail.iter().sum::<f32>() / tail.len() as f32,
        initial_accuracy: leader.accuracies.first().copied().unwrap_or(f64::NAN),
        final_accuracy: leader.accuracies.last().copied().unwrap_or(f64::NAN),
        declared,
    })
}

struct Rank<'a> {
    job: &'a Job<'a>,
    number: usize,
    model: Perceptron,
    optimizer: Momentum,
    counter: GemmCounter,
    order: BatchOrder,
    member: Member,
    sink: Sink<'a>,
    clock: Stopwatch,
    end: RankEnd,
}

#[derive(Default)]
struct RankEnd {
    declared: Flops,
    losses: Vec<f32>,
    accuracies: Vec<f64>,
}

/// One step's outcome: mean loss, own accuracy, and whether rank 0 says that time is up.
struct StepEnd {
    loss: f32,
    accuracy: f64,
    time_is_up: bool,
}

impl<'a> Rank<'a> {
    fn new(
        job: &'a Job<'a>,
        number: usize,
        member: Member,
        sink: Sink<'a>,
        clock: Stopwatch,
    ) -> Result<Self, TrainError> {
        let tensor = |source| TrainError::Tensor { rank: number, source };
        let counter = GemmCounter::default();
        let model = Perceptron::new(job.spec, counter.clone()).map_err(tensor)?;
        let mut optimizer = Momentum::new(&model, job.spec).map_err(tensor)?;
        if let Some((_, place)) = &job.attempt.resumes {
            read_checkpoint(place, &model, &mut optimizer).map_err(tensor)?;
        }
        let order = BatchOrder::new(job.spec.seed, job.split.train.len());
        Ok(Self { job, number, model, optimizer, counter, order, member, sink, clock, end: RankEnd::default() })
    }

    fn run(mut self, watch: &(dyn Fn(StepLine) + Sync)) -> Result<RankEnd, TrainError> {
        let Attempt { dies_after, .. } = self.job.attempt;
        let before = self.job.attempt.done_before();
        self.evaluate(before)?;
        for step in before + 1..=self.job.spec.steps {
            let StepEnd { loss, accuracy, time_is_up } = self.step(step)?;
            self.end.losses.push(loss);
            if dies_after.is_some_and(|dies_after| time_is_up || step == dies_after) {
                break;
            }
            let last = time_is_up || step == self.job.spec.steps;
            if last || step % self.job.evaluate_every == 0 {
                self.evaluate(step)?;
            }
            if self.number == 0 {
                let held_out_accuracy = self.end.accuracies.last().copied().unwrap_or_default();
                watch(StepLine { step, loss, accuracy, held_out_accuracy });
            }
            if last || (self.number == 0 && step % self.job.checkpoint_every == 0) {
                self.checkpoint(step)?;
            }
            if last {
                break;
            }
            self.keep_pace(step);
        }
        Ok(self.end)
    }

    fn step(&mut self, step: u64) -> Result<StepEnd, TrainError> {
        let is_audited = self.job.audit_every.is_some_and(|every| step.is_multiple_of(every));
        let before = is_audited.then(|| self.state()).transpose()?;
        let tape = is_audited.then(Tape::default);
        let rows = self.order.micro_batch(self.job.spec, step - 1, self.number);
        let batch = Batch::new(&self.job.split.train.pick(&rows)).map_err(self.tensor())?;
        let forward = self.model.forward_on(&batch, tape.as_ref()).map_err(self.tensor())?;
        let logits = forward.logits().map_err(self.tensor())?;
        let loss = batch.loss(logits).map_err(self.tensor())?;
        let grads = loss.backward().map_err(self.tensor())?;
        self.declare(step, TRAINING_UNIT, self.job.spec.micro_batch_flop())?;

        // Two more numbers ride along: the loss, and rank 0's word that time is up.
        let mut own = self.model.flat_gradients(&grads).map_err(self.tensor())?;
        own.push(loss.to_scalar().map_err(self.tensor())?);
        own.push(f32::from(u8::from(self.number == 0 && self.is_late())));
        let mut mean = self.member.mean(own).map_err(|_| TrainError::PeerLost { rank: self.number })?;
        let (late, loss) = (mean.pop().unwrap_or_default(), mean.pop().unwrap_or(f32::NAN));
        self.optimizer.step(&self.model, &mean).map_err(self.tensor())?;
        (self.sink)(JobEvent::Step { step });
        if let (Some(before), Some(tape)) = (before, tape) {
            let bias_gradients = self.model.bias_gradients(&grads).map_err(self.tensor())?;
            self.capture(step, (&batch, &forward, &tape), bias_gradients, (before, &mean))?;
        }
        let accuracy = batch.accuracy(logits).map_err(self.tensor())?;
        Ok(StepEnd { loss, accuracy, time_is_up: late > 0.0 })
    }

    /// Weights and velocities now: the optimizer changes weights in place.
    fn state(&self) -> Result<State, TrainError> {
        let copied = self.model.variables().into_iter().map(|variable| variable.as_tensor().copy());
        let parameters = copied.collect::<Result<_, _>>().map_err(self.tensor())?;
        Ok(State { parameters, velocities: self.optimizer.state().to_vec() })
    }

    /// Hands the step on as a trace.
    fn capture(
        &mut self,
        step: u64,
        (batch, forward, tape): (&Batch, &Forward, &Tape),
        bias_gradients: Vec<candle_core::Tensor>,
        (before, mean): (State, &[f32]),
    ) -> Result<(), TrainError> {
        let backward = std::mem::take(&mut *tape.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let captured = Step {
            unit: (self.job.attempt.number, step, self.number),
            batch,
            forward,
            backward: &backward,
            bias_gradients,
            names: self.model.names(),
            mean: Momentum::cut(&self.model, mean).map_err(self.tensor())?,
            before,
            after: self.state()?,
        };
        let captured = captured.capture(self.job.spec).map_err(self.tensor())?;
        (self.sink)(JobEvent::Trace(captured));
        Ok(())
    }

    /// Rank 0 measures accuracy after a step on rows that no gradient saw. That is compute as well, so it is declared.
    fn evaluate(&mut self, step: u64) -> Result<(), TrainError> {
        if self.number > 0 {
            return Ok(());
        }
        let rows = &self.job.split.held_out;
        let batch = Batch::new(rows).map_err(self.tensor())?;
        let logits = self.model.forward(&batch).map_err(self.tensor())?;
        self.end.accuracies.push(batch.accuracy(&logits).map_err(self.tensor())?);
        self.declare(step, EVALUATION_UNIT, self.job.spec.forward_flop(rows.len()))
    }

    /// Declares a unit by the committed rule, if the kernel counted the same.
    fn declare(&mut self, step: u64, micro_batch: u16, declared: Flops) -> Result<(), TrainError> {
        let counted = self.counter.take();
        if counted != declared {
            return Err(TrainError::Flop { rank: self.number, step, declared, counted });
        }
        let sum = self.end.declared.checked_add(declared);
        self.end.declared = sum.map_err(|source| TrainError::Sum { rank: self.number, source })?;
        let rank = u32::try_from(self.number).unwrap_or(u32::MAX);
        (self.sink)(JobEvent::WorkUnit { step, rank, micro_batch, flop: declared });
        Ok(())
    }

    fn checkpoint(&mut self, step: u64) -> Result<(), TrainError> {
        let folder = self.job.folders.get(self.number).ok_or(TrainError::Panicked)?;
        let files = write_checkpoint(folder, step, &self.model, &self.optimizer)
            .map_err(|source| TrainError::Checkpoint { rank: self.number, source })?;
        (self.sink)(JobEvent::Checkpoint { step, files });
        Ok(())
    }

    fn due(&self, steps: u64) -> Option<Duration> {
        let steps = steps.saturating_sub(self.job.attempt.done_before());
        self.job.steps_per_second.map(|rate| Duration::from_secs_f64(steps as f64 / rate))
    }

    fn is_late(&self) -> bool {
        let last = self.job.attempt.dies_after.unwrap_or(self.job.spec.steps);
        self.due(last).is_some_and(|end| self.clock.elapsed() >= end)
    }

    fn keep_pace(&self, step: u64) {
        if let Some(due) = self.due(step) {
            std::thread::sleep(due.saturating_sub(self.clock.elapsed()));
        }
    }

    fn tensor(&self) -> impl Fn(candle_core::Error) -> TrainError + 'static {
        let rank = self.number;
        move |source| TrainError::Tensor { rank, source }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::data::WineTable;

    fn small(ranks: usize, micro_batch: usize) -> TrainingSpec {
        TrainingSpec { widths: vec![11, 32, 32, 11], micro_batch, ranks, ..TrainingSpec::wine(40) }
    }

    struct Outcome {
        summary: TrainingSummary,
        events: Vec<Vec<JobEvent>>,
        finals: Vec<Vec<u8>>,
    }

    fn run(spec: &TrainingSpec) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let folders: Vec<_> = (0..spec.ranks).map(|rank| folder.path().join(rank.to_string())).collect();
        let split = WineTable::load().split(spec);
        let job = Job {
            spec,
            split: &split,
            steps_per_second: None,
            checkpoint_every: 16,
            evaluate_every: 20,
            audit_every: None,
            folders: &folders,
            attempt: Attempt::default(),
        };
        let events: Vec<Mutex<Vec<JobEvent>>> = folders.iter().map(|_| Mutex::default()).collect();
        let sinks = events.iter().map(|list| Box::new(|event| list.lock().unwrap().push(event)) as Sink<'_>).collect();
        let summary = train(&job, sinks, &|_| {}).unwrap();
        let read = |folder: &PathBuf| std::fs::read(folder.join("checkpoint-000040/model.safetensors")).unwrap();
        let events = events.into_iter().map(|list| list.into_inner().unwrap()).collect();
        Outcome { summary, events, finals: folders.iter().map(read).collect() }
    }

    fn weights(file: &[u8]) -> Vec<f32> {
        let tensors = candle_core::safetensors::load_buffer(file, &candle_core::Device::Cpu).unwrap();
        let sorted: std::collections::BTreeMap<_, _> = tensors.into_iter().collect();
        sorted.values().flat_map(|tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    }

    #[test]
    fn training_learns_repeats_to_the_bit_and_keeps_its_replicas_equal() {
        let spec = small(2, 64);
        let (first, second) = (run(&spec), run(&spec));
        assert!(first.summary.final_loss < 0.7 * first.summary.initial_loss, "{:?}", first.summary);
        assert!(first.summary.final_accuracy > first.summary.initial_accuracy, "{:?}", first.summary);
        assert_eq!(first.summary, second.summary);
        assert_eq!(first.finals, second.finals);
        assert_eq!(first.finals[0], first.finals[1]);
    }

    #[test]
    fn two_ranks_do_what_one_rank_with_the_whole_batch_does() {
        let (two, one) = (run(&small(2, 64)), run(&small(1, 128)));
        let differences = weights(&two.finals[0]).into_iter().zip(weights(&one.finals[0])).map(|(a, b)| (a - b).abs());
        let greatest = differences.fold(0f32, f32::max);
        assert!(greatest < 1e-4, "{greatest}");
    }

    #[test]
    fn every_unit_of_work_is_declared_once_and_adds_up() {
        let spec = small(2, 64);
        let outcome = run(&spec);
        for (rank, events) in outcome.events.iter().enumerate() {
            let units = events.iter().filter_map(|event| match event {
                JobEvent::WorkUnit { step, rank, micro_batch, flop } => Some(((*step, *rank, *micro_batch), *flop)),
                _ => None,
            });
            let units: Vec<_> = units.collect();
            assert!(units.windows(2).all(|pair| pair[0].0 < pair[1].0), "the daemon takes ascending units only");
            let evaluations = if rank == 0 { 3 } else { 0 };
            assert_eq!(units.len(), 40 + evaluations);
            assert_eq!(Flops(units.iter().map(|(_, flop)| flop.0).sum()), outcome.summary.declared[rank]);
            let checkpoints = events.iter().filter(|event| matches!(event, JobEvent::Checkpoint { .. })).count();
            assert_eq!(checkpoints, if rank == 0 { 3 } else { 1 });
        }
    }

    #[test]
    fn a_second_attempt_goes_on_to_the_bit_from_the_last_checkpoint_and_declares_what_it_does_again() {
        let spec = small(2, 64);
        let whole = run(&spec);
        let folder = tempfile::tempdir().unwrap();
        let folders: Vec<_> = (0..spec.ranks).map(|rank| folder.path().join(rank.to_string())).collect();
        let split = WineTable::load().split(&spec);
        let attempt = |attempt: Attempt| {
            let (steps_per_second, checkpoint_every, evaluate_every) = (None, 16, 20);
            let folders = folders.as_slice();
            let job = Job {
                spec: &spec,
                split: &split,
                steps_per_second,
                checkpoint_every,
                evaluate_every,
                audit_every: None,
                folders,
                attempt,
            };
            let sinks = folders.iter().map(|_| Box::new(|_| {}) as Sink<'_>).collect();
            train(&job, sinks, &|_| {}).unwrap()
        };
        let died = attempt(Attempt { dies_after: Some(21), ..Attempt::default() });
        assert_eq!((died.steps, folders[1].exists()), (21, false), "no last checkpoint");
        let resumes = Some((16, folders[0].join("checkpoint-000016")));
        let resumed = attempt(Attempt { number: 1, resumes, dies_after: None });
        let last = std::fs::read(folders[1].join("checkpoint-000040/model.safetensors")).unwrap();
        assert!(last == whole.finals[1], "the same weights as without the death");
        let both = died.clone().then(resumed, 16).unwrap();
        assert_eq!((both.steps, both.abandoned), (40, 5));
        // Rank 1 evaluates nothing: five steps more than without the death.
        let again = 5 * spec.micro_batch_flop().0;
        assert_eq!(both.declared[1].0, whole.summary.declared[1].0 + again);
    }

    #[test]
    fn a_rank_that_cannot_write_ends_the_job_with_its_own_reason() {
        let spec = small(2, 64);
        let split = WineTable::load().split(&spec);
        let folders = vec![PathBuf::from("/dev/null/0"), PathBuf::from("/dev/null/1")];
        let job = Job {
            spec: &spec,
            split: &split,
            steps_per_second: None,
            checkpoint_every: 5,
            evaluate_every: 20,
            audit_every: None,
            folders: &folders,
            attempt: Attempt::default(),
        };
        let sinks = folders.iter().map(|_| Box::new(|_| {}) as Sink<'_>).collect();
        let error = train(&job, sinks, &|_| {}).unwrap_err();
        assert!(matches!(error, TrainError::Checkpoint { rank: 0, .. }), "{error:?}");
        assert_eq!(error.culprit(), Culprit::Unavailable);
    }

    #[test]
    fn a_slow_machine_does_fewer_steps_instead_of_taking_longer() {
        let folder = tempfile::tempdir().unwrap();
        let folders = vec![folder.path().join("0"), folder.path().join("1")];
        let spec = TrainingSpec { steps: 1_000_000, ..small(2, 64) };
        let split = WineTable::load().split(&spec);
        let rate = Some(2_000_000.0);
        let job = Job {
            spec: &spec,
            split: &split,
            steps_per_second: rate,
            checkpoint_every: 1_000_000,
            evaluate_every: 1_000,
            audit_every: None,
            folders: &folders,
            attempt: Attempt::default(),
        };
        let sinks = folders.iter().map(|_| Box::new(|_| {}) as Sink<'_>).collect();
        let summary = train(&job, sinks, &|_| {}).unwrap();
        assert!((1..100_000).contains(&summary.steps), "{}", summary.steps);
    }
}
