print("hubaudit")
