#compdef imgtool
# zsh completion of imgtool. It knows no command: it asks the program at each tab.
_imgtool() {
  local program=imgtool line word kind
  local -a typed answer whole open
  typed=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
  if [[ ${words[1]} == */* ]]; then program=${words[1]/#\~\//$HOME/}; fi
  answer=("${(@f)$("$program" __complete "${typed[@]}" 2>/dev/null)}")
  kind=${answer[1]}
  for line in "${(@)answer[2,-1]}"; do
    word=${line%%$'\t'*}
    line=${word//:/\\:}${${line#"$word"}/$'\t'/:}
    if [[ $word == *[/:=] ]]; then open+=("$line"); else whole+=("$line"); fi
  done
  (($#whole == 0)) || _describe -t words imgtool whole
  (($#open == 0)) || _describe -t words imgtool open -S ''
  if [[ $kind == (files|directories) ]]; then
    compset -P '--*='
    if [[ $kind == files ]]; then _files; else _files -/; fi
  fi
}
if [[ ${funcstack[1]} == _imgtool ]]; then _imgtool "$@"; else compdef _imgtool imgtool; fi
