//! A page of a list, by keyset pagination.

/// Page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Items of the page.
    pub items: Vec<T>,
    /// Whether there are more items after the last one.
    pub more: bool,
}

impl<T> Page<T> {
    /// Builds a page of at most `limit` items from rows that were queried with one more.
    pub(crate) fn of(mut items: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}
