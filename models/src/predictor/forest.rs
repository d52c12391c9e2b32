//! A fitted regression forest in a form that is small on disk, quick to walk and able to say which
//! input moved it.

use super::ModelError;
use serde::{Deserialize, Serialize};

/// One tree in preorder: the left child of node `i` is `i + 1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(crate) struct Tree {
    /// Mean label of the training rows that reached the node.
    pub(crate) value: Vec<f64>,
    /// Input that the node asks about; 0 at leaves.
    pub(crate) input: Vec<u16>,
    /// Rows with the input at most this go left.
    pub(crate) threshold: Vec<f64>,
    /// Right child; 0 at leaves.
    pub(crate) right: Vec<u32>,
}

/// The mean of its trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    pub(crate) trees: Vec<Tree>,
}

impl Forest {
    /// The mean of the trees' leaves, and how it came about: at each node that is passed the mean
    /// label changes, and the change is credited to the input that was asked about (Saabas, 2014).
    /// `credit` (one place per input) then sums exactly to the answer minus [`Forest::root`].
    pub(crate) fn predict(&self, inputs: &[f64], credit: &mut [f64]) -> f64 {
        let share = 1.0 / self.trees.len() as f64;
        let mut sum = 0.0;
        for tree in &self.trees {
            let mut node = 0;
            while tree.right[node] != 0 {
                let input = usize::from(tree.input[node]);
                let next = if inputs[input] <= tree.threshold[node] {
                    node + 1
                } else {
                    tree.right[node] as usize
                };
                credit[input] += share * (tree.value[next] - tree.value[node]);
                node = next;
            }
            sum += tree.value[node];
        }
        sum * share
    }

    /// The mean over the trees' roots: the answer before any input is looked at.
    pub(crate) fn root(&self) -> f64 {
        self.trees.iter().map(|tree| tree.value[0]).sum::<f64>() / self.trees.len() as f64
    }

    /// Refuses what a fit cannot have made, so that [`Forest::predict`] ends and stays inside.
    pub(crate) fn check(&self, inputs: usize) -> Result<(), ModelError> {
        let sound = |tree: &Tree| {
            let nodes = tree.value.len();
            let probability = |value: &f64| (0.0..=1.0).contains(value);
            nodes > 0
                && tree.input.len() == nodes
                && tree.threshold.len() == nodes
                && tree.right.len() == nodes
                && tree.value.iter().all(probability)
                && tree.threshold.iter().all(|at| at.is_finite())
                && tree.input.iter().all(|input| usize::from(*input) < inputs)
                && tree.right.iter().enumerate().all(|(node, &right)| {
                    // Children lie behind their parents: a walk cannot turn in circles.
                    right == 0 || (right as usize > node + 1 && (right as usize) < nodes)
                })
        };
        if !self.trees.is_empty() && self.trees.iter().all(sound) {
            Ok(())
        } else {
            Err(ModelError::Inconsistent("forest"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// input 0 <= 1 ? 0.2 : (input 1 <= 0 ? 0.4 : 0.9)
    fn tree() -> Tree {
        Tree {
            value: vec![0.5, 0.2, 0.7, 0.4, 0.9],
            input: vec![0, 0, 1, 0, 0],
            threshold: vec![1.0, 0.0, 0.0, 0.0, 0.0],
            right: vec![2, 0, 4, 0, 0],
        }
    }

    #[test]
    fn walks_to_the_leaf_and_credits_the_inputs_on_the_way() {
        let forest = Forest { trees: vec![tree()] };
        let mut credit = [0.0; 2];
        assert_eq!(forest.predict(&[2.0, 1.0], &mut credit), 0.9);
        assert!((credit[0] - 0.2).abs() < 1e-12 && (credit[1] - 0.2).abs() < 1e-12, "{credit:?}");
        assert_eq!(forest.predict(&[1.0, 1.0], &mut [0.0; 2]), 0.2);
        assert_eq!(forest.root(), 0.5);
    }

    #[test]
    fn refuses_trees_that_would_not_end_or_leave_their_bounds() {
        let broken = |change: fn(&mut Tree)| {
            let mut tree = tree();
            change(&mut tree);
            Forest { trees: vec![tree] }.check(2).is_err()
        };
        assert!(Forest { trees: vec![tree()] }.check(2).is_ok());
        assert!(
            Forest { trees: vec![tree()] }.check(1).is_err(),
            "asks about an input that is not there"
        );
        assert!(Forest { trees: vec![] }.check(2).is_err());
        assert!(broken(|tree| tree.right[2] = 1), "backwards");
        assert!(broken(|tree| tree.right[2] = 9), "beyond the end");
        assert!(broken(|tree| tree.value[4] = 1.5), "not a probability");
        assert!(broken(|tree| tree.threshold[0] = f64::NAN));
        assert!(broken(|tree| tree.input.clear()));
    }
}
