//! `smartcore`'s regression forest, brought into the model's plain numbers.
//!
//! Means and thresholds are rounded: that halves the file.

use super::{Design, FitError};
use crate::predictor::{Forest, Tree};
use serde::Deserialize;
use smartcore::ensemble::random_forest_regressor::{
    RandomForestRegressor, RandomForestRegressorParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Levels of a tree, the root's included: seven questions, at most 128 leaves.
const DEPTH: u16 = 8;
/// Fewest rows in a leaf.
const LEAF: usize = 5;

type Matrix = DenseMatrix<f64>;

/// Regression forest on labels of 0 and 1, whose leaf means are probabilities.
pub(super) fn forest(design: &Design, trees: usize, seed: u64) -> Result<Forest, FitError> {
    let refused = |reason| FitError::Member { member: "forest", reason };
    let labels: Vec<f64> = design.sustained.iter().map(|s| f64::from(u8::from(*s))).collect();
    let width = design.inputs.first().map_or(0, Vec::len);
    let parameters = RandomForestRegressorParameters::default()
        .with_n_trees(trees)
        .with_max_depth(DEPTH)
        .with_min_samples_leaf(LEAF)
        .with_m((width / 2).max(1))
        .with_seed(seed);
    let fitted = guarded(|| {
        let forest = RandomForestRegressor::fit(&matrix(design)?, &labels, parameters.clone())?;
        // Its nodes are private; its serialised form is public and pinned with the version.
        serde_json::to_value(&forest)
            .and_then(serde_json::from_value::<Serialised>)
            .map_err(|error| smartcore::error::Failed::fit(&error.to_string()))
    });
    let trees = fitted.map_err(refused)?.forest_regressor.trees;
    Ok(Forest { trees: trees.iter().map(|tree| in_preorder(&tree.nodes)).collect() })
}

/// A member's fit: its errors and panics as text.
fn guarded<T>(fit: impl Fn() -> Result<T, smartcore::error::Failed>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(fit)) {
        Ok(result) => result.map_err(|failed| failed.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or("without a message")))
        }
    }
}

fn matrix(design: &Design) -> Result<Matrix, smartcore::error::Failed> {
    Matrix::from_2d_vec(&design.inputs)
}

fn rounded(value: f64, step: f64) -> f64 {
    // Dividing by a power of ten, not multiplying by its inverse, gives the shortest decimal.
    let steps = (1.0 / step).round();
    (value * steps).round() / steps
}

#[derive(Deserialize)]
struct Serialised {
    forest_regressor: SerialisedForest,
}

#[derive(Deserialize)]
struct SerialisedForest {
    trees: Vec<SerialisedTree>,
}

#[derive(Deserialize)]
struct SerialisedTree {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    output: f64,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

/// Renumbers nodes so that a left child follows its parent. `smartcore` sends rows with the input at
/// most the split value to the true child: ours is the left one.
fn in_preorder(nodes: &[Node]) -> Tree {
    let mut tree = Tree::default();
    // Nodes still to be placed, with the parent that waits for the position of its right child.
    let mut waiting = vec![(0, None)];
    while let Some((at, parent)) = waiting.pop() {
        let node: &Node = &nodes[at];
        let place = tree.value.len();
        if let Some(parent) = parent {
            let right: &mut u32 = &mut tree.right[parent];
            *right = place as u32;
        }
        // A bootstrap mean of 0/1 labels, up to rounding.
        tree.value.push(rounded(node.output, 1e-4).clamp(0.0, 1.0));
        tree.right.push(0);
        if let (Some(left), Some(right), Some(split)) =
            (node.true_child, node.false_child, node.split_value)
        {
            tree.input.push(node.split_feature as u16);
            tree.threshold.push(rounded(split, 1e-6));
            waiting.push((right, Some(place)));
            waiting.push((left, None));
        } else {
            tree.input.push(0);
            tree.threshold.push(0.0);
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn design(rows: usize) -> Design {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let inputs: Vec<Vec<f64>> =
            (0..rows).map(|_| (0..4).map(|_| rng.random_range(-3.0..3.0)).collect()).collect();
        let sustained =
            inputs.iter().map(|row| row[0] * row[1] > rng.random_range(-2.0..2.0)).collect();
        Design { inputs, sustained }
    }

    #[test]
    fn our_walk_through_the_forest_answers_as_smartcore_does() {
        let design = design(400);
        let labels: Vec<f64> = design.sustained.iter().map(|s| f64::from(u8::from(*s))).collect();
        let parameters = RandomForestRegressorParameters::default()
            .with_n_trees(100)
            .with_max_depth(DEPTH)
            .with_min_samples_leaf(LEAF)
            .with_m(2)
            .with_seed(5);
        let theirs = RandomForestRegressor::fit(&matrix(&design).unwrap(), &labels, parameters)
            .unwrap()
            .predict(&matrix(&design).unwrap())
            .unwrap();
        let ours = forest(&design, 100, 5).unwrap();
        assert!(ours.check(4).is_ok());
        for (row, theirs) in design.inputs.iter().zip(theirs) {
            let mean = ours.predict(row, &mut [0.0; 4]);
            assert!((mean - theirs).abs() < 1e-3, "{mean} {theirs}: more than rounding");
        }
    }

    #[test]
    fn a_panic_inside_a_fit_is_an_error() {
        let refused = guarded::<()>(|| panic!("row {}", 7)).unwrap_err();
        assert_eq!(refused, "panicked: row 7");
    }
}
