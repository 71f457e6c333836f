//! A value that many hold and few ever change.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Cloned by counting. Who changes it gets a copy of its own first, if others hold it.
#[derive(Debug, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_nobody_else() {
        let mut mine = Shared::from(vec![1]);
        let other = mine.clone();
        mine.push(2);
        assert_eq!((&*mine, &*other), (&vec![1, 2], &vec![1]));
    }
}
