/**
 * Templates in the language of Go's text/template, as far as `--format` of docker, podman and skopeo uses it: fields, pipes,
 * `if`, `with`, `range`, variables, functions. Pure; knows nothing of images. May import `errors`, `util`.
 */
export { parseTemplate, type Template } from './template.js';
export type { TemplateMethod } from './value.js';
