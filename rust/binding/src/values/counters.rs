//! The counters that all statistics have, said once: what is counted is written, read and shown in this order.

/// Make something of the names of all counters, in the order of the `repr`.
macro_rules! counters {
    ($made:ident!($($of:tt)*)) => {
        $made!(
            [pending, parked, running, scheduled, started, succeeded, retried, snoozed, dead, cancelled, revived,
             dropped, missed, stuck]
            $($of)*
        )
    };
}
pub(crate) use counters;

macro_rules! count {
    ([$($name:ident),*]) => { [$(stringify!($name)),*].len() };
}

/// The numbers of statistics.
macro_rules! numbers {
    ([$($name:ident),*] $stats:expr) => { [$($stats.$name),*] };
}
pub(crate) use numbers;

/// The numbers of statistics, each with its name.
macro_rules! named {
    ([$($name:ident),*] $stats:expr) => { [$((stringify!($name), $stats.$name)),*] };
}
pub(crate) use named;

/// Statistics that have these numbers, and what else they have.
macro_rules! with_numbers {
    ([$($name:ident),*] $numbers:expr, $Stats:ident { $($other:ident),* }) => {
        match $numbers {
            [$($name),*] => $Stats { $($name,)* $($other),* },
        }
    };
}
pub(crate) use with_numbers;

/// How many there are.
pub(crate) const COUNTERS: usize = counters!(count!());
