import kfold

DOIT_CONFIG, task_kfold = kfold.project()
