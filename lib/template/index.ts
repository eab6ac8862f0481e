/**
 * Templates in the syntax of Go's text/template, as used in `--format` of docker, podman and skopeo: fields, pipes,
 * `if`, `with`, `range`, variables, functions. Pure and independent of images. May import `errors`, `util`.
 */
export { parseTemplate, type Template } from './template.js';
export type { TemplateMethod } from './value.js';
