# bash completion of imgtool. It knows no command: it asks the program at each tab.
_imgtool() {
  local rest=${COMP_LINE:0:COMP_POINT} program=imgtool words=() i word line kind prefix='' kept=''

  # Readline splits words at colons and the like (COMP_WORDBREAKS); only blanks separate arguments.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
      rest=${rest#"${rest%%[![:space:]]*}"}
      words+=('')
    fi
    ((i < COMP_CWORD)) || word=$rest
    words[-1]+=$word
    rest=${rest#"$word"}
  done
  for i in "${!words[@]}"; do
    if [[ ${words[i]} == [\'\"]* ]]; then words[i]=${words[i]:1}; fi
    if ((i < ${#words[@]} - 1)) && [[ ${words[i]} == *[\'\"] ]]; then words[i]=${words[i]%?}; fi
  done
  if [[ ${words[0]} == */* ]]; then program=${words[0]/#~\//"$HOME"/}; fi
  word=${words[-1]}

  COMPREPLY=()
  {
    read -r kind
    while IFS= read -r line; do COMPREPLY+=("${line%%$'\t'*}"); done
  } < <("$program" __complete "${words[@]:1}" 2>/dev/null)
  if [[ $kind == files || $kind == directories ]]; then
    if [[ $word == --*=* ]]; then prefix=${word%%=*}=; fi
    [[ $kind == files ]] && kind=file || kind=directory
    while IFS= read -r line; do
      if [[ -d ${line/#~\//"$HOME"/} ]]; then line+=/; fi
      printf -v line %q "$line"
      COMPREPLY+=("$prefix${line/#\\~/\~}")
    done < <(compgen -A "$kind" -- "${word#"$prefix"}")
  fi

  # Readline replaces only what follows the last break.
  if [[ ${COMP_WORDS[COMP_CWORD]} != [\'\"]* ]]; then
    for i in : = @; do
      [[ $COMP_WORDBREAKS == *"$i"* && $word == *"$i"* ]] || continue
      line=${word%"${word##*"$i"}"}
      ((${#line} <= ${#kept})) || kept=$line
    done
  fi
  for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$kept"}; done
  if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[/:=] ]]; then compopt -o nospace; fi
}
complete -F _imgtool imgtool
