//! **Duty.** The training data: UCI Wine Quality (red wine, 1,599 rows, CC BY 4.0) as it ships in `linfa-datasets`, its
//! canonical bytes, the split, standardisation and the order of batches. **Knows** rows and labels. **Does not know**
//! tensors or ranks.

use weighbridge_attest_types::{Digest32, sha256};

use crate::seeded::SplitMix64;
use crate::spec::TrainingSpec;

const SPLIT: u64 = 1;
const EPOCH: u64 = 1 << 32;

/// The raw table.
#[derive(Debug, Clone)]
pub(crate) struct WineTable {
    columns: usize,
    features: Vec<f64>,
    labels: Vec<u32>,
}

/// Standardised rows with their classes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    /// Features of one row.
    pub(crate) columns: usize,
    /// Row-major features.
    pub(crate) features: Vec<f32>,
    /// Class of each row.
    pub(crate) labels: Vec<u32>,
}

/// What a run trains on and what it is measured on.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    /// Training rows.
    pub(crate) train: Rows,
    /// Rows that no gradient sees.
    pub(crate) held_out: Rows,
}

/// Which training rows make up each global batch.
#[derive(Debug, Clone)]
pub(crate) struct BatchOrder {
    seed: u64,
    rows: usize,
    epoch: Option<(u64, Vec<usize>)>,
}

impl WineTable {
    /// The table that ships with the crate.
    #[must_use]
    pub(crate) fn load() -> Self {
        let dataset = linfa_datasets::winequality();
        let labels = dataset.targets.iter().map(|&quality| u32::try_from(quality).unwrap_or(u32::MAX)).collect();
        Self { columns: dataset.records.ncols(), features: dataset.records.iter().copied().collect(), labels }
    }

    /// SHA-256 of the canonical bytes: rows and columns as `u64`, then every row's `f64` bits and its label, little-endian.
    #[must_use]
    pub(crate) fn root(&self) -> Digest32 {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&(self.labels.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.columns as u64).to_le_bytes());
        for (row, label) in self.features.chunks_exact(self.columns).zip(&self.labels) {
            row.iter().for_each(|value| bytes.extend_from_slice(&value.to_bits().to_le_bytes()));
            bytes.extend_from_slice(&label.to_le_bytes());
        }
        sha256(&bytes)
    }

    /// Rows in all.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Splits by a seeded permutation and standardises every feature by mean and deviation of the *training* rows.
    #[must_use]
    pub(crate) fn split(&self, spec: &TrainingSpec) -> Split {
        let order = SplitMix64::new(spec.seed, SPLIT).permutation(self.len());
        let (held_out, train) = order.split_at(spec.held_out_rows.min(self.len()));
        let scales: Vec<(f64, f64)> = (0..self.columns).map(|column| self.scale(column, train)).collect();
        Split { train: self.standardised(train, &scales), held_out: self.standardised(held_out, &scales) }
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.features[row * self.columns..(row + 1) * self.columns]
    }

    /// Mean and standard deviation of one feature.
    fn scale(&self, column: usize, rows: &[usize]) -> (f64, f64) {
        let count = rows.len().max(1) as f64;
        let values = || rows.iter().map(|&row| self.row(row)[column]);
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt().max(f64::EPSILON))
    }

    fn standardised(&self, rows: &[usize], scales: &[(f64, f64)]) -> Rows {
        #[expect(clippy::cast_possible_truncation, reason = "training runs in f32; standardised values are small")]
        let standard = |(value, (mean, deviation)): (&f64, &(f64, f64))| ((value - mean) / deviation) as f32;
        let features = rows.iter().flat_map(|&row| self.row(row).iter().zip(scales).map(standard)).collect();
        Rows { columns: self.columns, features, labels: rows.iter().map(|&row| self.labels[row]).collect() }
    }
}

impl Rows {
    /// Rows in all.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The rows named by `picked`, in that order.
    #[must_use]
    pub(crate) fn pick(&self, picked: &[usize]) -> Self {
        let row = |&row: &usize| &self.features[row * self.columns..(row + 1) * self.columns];
        Self {
            columns: self.columns,
            features: picked.iter().flat_map(row).copied().collect(),
            labels: picked.iter().map(|&row| self.labels[row]).collect(),
        }
    }
}

impl BatchOrder {
    pub(crate) fn new(seed: u64, rows: usize) -> Self {
        Self { seed, rows, epoch: None }
    }

    /// Rows of one rank's micro-batch: the global batch is a slice of all epochs laid end to end, cut among the ranks.
    pub(crate) fn micro_batch(&mut self, spec: &TrainingSpec, step_index: u64, rank: usize) -> Vec<usize> {
        let global_batch = (spec.micro_batch * spec.ranks) as u64;
        let first = step_index * global_batch + (rank * spec.micro_batch) as u64;
        (first..first + spec.micro_batch as u64).map(|position| self.row_at(position)).collect()
    }

    fn row_at(&mut self, position: u64) -> usize {
        let rows = self.rows.max(1) as u64;
        let (epoch, place) = (position / rows, usize::try_from(position % rows).unwrap_or_default());
        match &self.epoch {
            Some((current, order)) if *current == epoch => order[place],
            _ => {
                let order = SplitMix64::new(self.seed, EPOCH + epoch).permutation(self.rows);
                let row = order[place];
                self.epoch = Some((epoch, order));
                row
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_published_one() {
        let table = WineTable::load();
        assert_eq!((table.len(), table.columns), (1_599, 11));
        assert_eq!(table.row(0), [7.4, 0.7, 0.0, 1.9, 0.076, 11.0, 34.0, 0.9978, 3.51, 0.56, 9.4]);
        assert_eq!(table.labels[0], 5);
        assert!(table.labels.iter().all(|label| (3..=8).contains(label)));
    }

    #[test]
    fn one_changed_value_changes_the_root() {
        let table = WineTable::load();
        let mut changed = table.clone();
        changed.features[5] += 1.0;
        assert_ne!(changed.root(), table.root());
        let mut changed = table.clone();
        changed.labels[7] ^= 1;
        assert_ne!(changed.root(), table.root());
        assert_eq!(table.root(), WineTable::load().root());
    }

    #[test]
    fn training_rows_are_standard_and_the_split_loses_nothing() {
        let (table, spec) = (WineTable::load(), TrainingSpec::wine(1));
        let split = table.split(&spec);
        assert_eq!((split.train.len(), split.held_out.len()), (1_280, 319));
        for column in 0..11 {
            let values = || split.train.features.iter().skip(column).step_by(11).map(|&value| f64::from(value));
            let mean = values().sum::<f64>() / 1_280.0;
            let variance = values().map(|value| value * value).sum::<f64>() / 1_280.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "column {column}: {mean} {variance}");
        }
    }

    #[test]
    fn ranks_share_every_epoch_without_overlap() {
        let spec = TrainingSpec { micro_batch: 64, ..TrainingSpec::wine(1) };
        let mut order = BatchOrder::new(spec.seed, 1_280);
        let mut seen = Vec::new();
        for step in 0..10 {
            for rank in 0..2 {
                seen.extend(order.micro_batch(&spec, step, rank));
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..1_280).collect::<Vec<_>>());
        assert_ne!(order.micro_batch(&spec, 0, 0), order.micro_batch(&spec, 10, 0));
    }
}
