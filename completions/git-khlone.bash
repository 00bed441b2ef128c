# Completion of `git-khlone` and, through git's own completion, of `git khlone`.
# Install: git khlone completions bash --install

# Offers what git-khlone itself says for the words in "$@"; the last one is being typed. The space after a whole
# word is ours to add, as git's completion does.
__git_khlone_reply() {
	local value
	COMPREPLY=()
	while IFS= read -r value; do
		value=${value%%$'\t'*}
		case $value in
		*[=:/@.]) ;;
		*) value+=' ' ;;
		esac
		COMPREPLY+=("$value")
	done < <("$@" 2>/dev/null)
	# Readline breaks words at `:` and `=` and replaces only what stands after the last one.
	if declare -F __ltrimcolonnames >/dev/null; then
		__ltrimcolonnames "${cur-}"
	fi
}

# Called by git's completion, which has split the line into `words` and found the command in it.
_git_khlone() {
	local at=1
	while [[ $at -lt $cword && ${words[at]} != khlone ]]; do
		at=$((at + 1))
	done
	__git_khlone_reply __git khlone __complete -- "${words[@]:at+1:cword-at}"
}

_git_khlone_alone() {
	local cur prev words cword
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n =: cur prev words cword
	else
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
	fi
	__git_khlone_reply "${words[0]}" __complete -- "${words[@]:1:cword}"
}

complete -o nospace -o bashdefault -o default -F _git_khlone_alone git-khlone
