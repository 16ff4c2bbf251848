//! `rsyncd.conf`: its grammar, its parameters, and what they amount to.

mod expand;
mod lex;
mod model;
mod params;

pub(crate) use self::{
    expand::expand,
    model::{Config, Module, Values},
    params::Param,
};
