//! Lives here: what people and programs may do with images, how far what they showed reaches, and attacks on both.
//! Never here: how rights are managed (`api`), what an image is (`v2`).
//! Start reading at `matrix.rs`.

mod attacks;
mod create_on_push;
mod credentials;
mod limiter;
mod matrix;
